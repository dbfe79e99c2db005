"""The linear members: average of softmaxes on their own standardisations."""

import math

import pytest
import torch

from domainvi.nn import LinearEnsemble


def filled() -> LinearEnsemble:
    """Two members, and one without a say, on one gene and two classes, in double precision."""
    ensemble = LinearEnsemble(3, 2, 1, 2).double()
    ensemble.centre.copy_(torch.tensor([[[1.0], [2.0]], [[0.0], [0.0]], [[0.0], [1.0]]]))
    ensemble.scale.copy_(torch.tensor([[[2.0], [1.0]], [[1.0], [1.0]], [[4.0], [4.0]]]))
    ensemble.coef.copy_(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 2.0]]]))
    ensemble.intercept.copy_(torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.3]]))
    ensemble.weight.copy_(torch.tensor([0.75, 0.25, 0.0]))
    return ensemble


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_hand(x: float, centre: float, scale: float, power: float = 1.0) -> list[float]:
    first, second = sigmoid((x - centre) / scale), sigmoid(0.5 - x)
    p = [0.75 * first + 0.25 * second, 0.75 * (1 - first) + 0.25 * (1 - second)]
    p = [v**power for v in p]
    return [v / sum(p) for v in p]


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_two_members_by_hand(power):
    ensemble = filled()
    ensemble.sharpness.fill_(power)
    x = torch.tensor([[3.0], [3.0]], dtype=torch.float64)
    found = torch.exp(ensemble(x, torch.tensor([0, 1])))
    expected = [by_hand(3.0, 1.0, 2.0, power), by_hand(3.0, 2.0, 1.0, power)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_the_last_one_has_no_say():
    ensemble = filled()
    x, domain = torch.tensor([[3.0]]).double(), torch.tensor([1])
    before = ensemble(x, domain)
    ensemble.intercept[-1] += 5.0
    assert torch.equal(ensemble(x, domain), before)


def test_probabilities_sum_to_one_however_sharp():
    ensemble = filled()
    ensemble.sharpness.fill_(3.7)
    x = torch.linspace(-100, 100, 50, dtype=torch.float64)[:, None]
    found = ensemble(x, torch.zeros(50, dtype=torch.long))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(50, dtype=torch.float64))


def test_rows_are_clipped_before_the_linear_map():
    ensemble = filled()
    at_limit, beyond = torch.tensor([[17.0]]).double(), torch.tensor([[1000.0]]).double()
    ensemble.weight.copy_(torch.tensor([1.0, 0.0, 0.0]))
    domain = torch.tensor([0])
    assert torch.equal(ensemble(at_limit, domain), ensemble(beyond, domain))


def test_other_statistics_serve_new_domains():
    ensemble = filled()
    statistics = (torch.ones(3, 3, 1).double(), torch.full((3, 3, 1), 2.0).double())
    statistics[0][1], statistics[1][1] = 0.0, 1.0
    found = ensemble(torch.tensor([[3.0]]).double(), torch.tensor([2]), statistics)
    torch.testing.assert_close(
        found.exp(), torch.tensor([by_hand(3.0, 1.0, 2.0)], dtype=torch.float64)
    )


def test_masked_genes_leave_the_intercepts():
    ensemble = filled()
    statistics = (ensemble.centre, torch.full_like(ensemble.scale, torch.inf))
    found = ensemble(torch.tensor([[1e9]]).double(), torch.tensor([0]), statistics).exp()
    expected = 0.75 * 0.5 + 0.25 * sigmoid(0.5)
    torch.testing.assert_close(found[0, 0], torch.tensor(expected, dtype=torch.float64))


def test_members_are_saved_and_not_trained():
    ensemble = filled()
    assert not list(ensemble.parameters())
    other = LinearEnsemble(3, 2, 1, 2).double()
    other.load_state_dict(ensemble.state_dict())
    x, domain = torch.randn(4, 1).double(), torch.tensor([0, 1, 1, 0])
    assert torch.equal(other(x, domain), ensemble(x, domain))


def test_gradients_are_right():
    x = torch.tensor([[0.3], [1.2]], dtype=torch.float64, requires_grad=True)
    ensemble = filled()
    assert torch.autograd.gradcheck(lambda v: ensemble(v, torch.tensor([0, 1])), (x,))


def test_a_fresh_ensemble_is_undecided():
    found = LinearEnsemble(3, 2, 4, 5)(torch.randn(6, 4), torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(found, torch.full((6, 5), -math.log(5)))
    assert LinearEnsemble(0, 2, 4, 5).n_members == 0
