"""Minimum class confusion against values worked out by hand, and at its limits."""

import math

import pytest
import torch

from domainvi.nn import class_confusion


def test_two_rows_by_hand():
    # p = (1/2, 1/2) and (3/4, 1/4); exp(-H) = 1/2 and (3/4)^(3/4) (1/4)^(1/4) = 3^(3/4) / 4.
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.75, 0.25]], dtype=torch.float64))
    raw = [1.5, 1 + 3**0.75 / 4]
    w = [2 * r / sum(raw) for r in raw]
    c00, c11 = w[0] / 4 + w[1] * 9 / 16, w[0] / 4 + w[1] / 16
    c01 = w[0] / 4 + w[1] * 3 / 16
    expected = (c01 / (c00 + c01) + c01 / (c01 + c11)) / 2
    assert float(class_confusion(logits, temperature=1.0)) == pytest.approx(expected, abs=1e-12)


def test_three_rows_by_hand():
    # Two rows certain of either class (w ~ 2), one undecided (w ~ 3/2): w = 12/11, 12/11, 9/11.
    logits = torch.tensor([[80.0, 0.0], [0.0, 80.0], [0.0, 0.0]])
    off, on = (9 / 11) / 4, 12 / 11 + (9 / 11) / 4
    expected = off / (on + off)
    assert float(class_confusion(logits, temperature=1.0)) == pytest.approx(expected, rel=1e-6)


def test_the_temperature_divides_the_logits():
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.3, 2.0, 0.1]])
    softened = class_confusion(logits, temperature=4.0)
    torch.testing.assert_close(softened, class_confusion(logits / 4.0, temperature=1.0))
    assert float(softened) > float(class_confusion(logits, temperature=1.0))


def test_certain_rows_are_not_confused():
    logits = 1000 * torch.eye(3)[[0, 1, 2, 0]]
    assert float(class_confusion(logits)) == 0.0


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_undecided_rows_reach_the_upper_bound(n_classes):
    value = float(class_confusion(torch.full((5, n_classes), 2.0)))
    assert value == pytest.approx(1 - 1 / n_classes, rel=1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (4, 1)])
def test_nothing_can_be_confused(shape):
    assert float(class_confusion(torch.randn(shape))) == 0.0


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_the_gradient_is_finite(scale):
    logits = (scale * torch.randn(6, 4, generator=torch.manual_seed(0))).requires_grad_(True)
    class_confusion(logits).backward()
    assert torch.isfinite(logits.grad).all()


def test_the_entropy_weights_carry_no_gradient():
    base = torch.randn(5, 3, generator=torch.manual_seed(0), dtype=torch.float64)

    def by_definition(logits):
        p = torch.softmax(logits / 2.5, dim=1)
        certainty = torch.softmax(base / 2.5, dim=1)
        w = 1 + torch.exp((certainty * certainty.log()).sum(dim=1))
        c = torch.einsum("ia,i,ib->ab", p, 5 * w / w.sum(), p)
        c = c / c.sum(dim=1, keepdim=True)
        return (c.sum() - c.trace()) / 3

    ours, plain = base.clone().requires_grad_(True), base.clone().requires_grad_(True)
    value, expected = class_confusion(ours), by_definition(plain)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(ours.grad, plain.grad)


def test_descending_makes_predictions_certain():
    logits = torch.randn(30, 3, generator=torch.manual_seed(1)).requires_grad_(True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    before = torch.softmax(logits.detach(), dim=1).max(dim=1).values.mean()
    for _ in range(100):
        optimizer.zero_grad()
        class_confusion(logits).backward()
        optimizer.step()
    after = torch.softmax(logits.detach(), dim=1).max(dim=1).values.mean()
    assert after > before + 0.2
    assert math.isclose(float(class_confusion(logits)), 0.0, abs_tol=0.05)
