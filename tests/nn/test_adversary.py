"""Domain head: what it is given, how domains are weighed, which rows take part."""

import math

import pytest
import torch
from torch.nn import functional

from domainvi.nn import (
    DomainAdversary,
    balanced_cross_entropy,
    shared_class_weight,
    weighted_cross_entropy,
    within_class_weight,
)


def within_class_cross_entropy(logits, domain, code, support):
    weight, possible = within_class_weight(domain, code, support)
    return weighted_cross_entropy(logits, domain, weight.to(logits.dtype), possible)


def test_the_conditional_input_is_the_outer_product():
    adversary = DomainAdversary(2, n_domains=2, n_classes=3)
    z = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    p = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    rows = [[0.2, 0.3, 0.5, 0.4, 0.6, 1.0], [-1.0, 0, 0, 0.5, 0, 0]]
    expected = adversary.network(torch.tensor(rows))
    torch.testing.assert_close(adversary(z, p, 1.0), expected)


def test_the_marginal_head_does_not_see_the_class():
    adversary = DomainAdversary(2, n_domains=3)
    z = torch.randn(4, 2)
    scores = [adversary(z, p, 1.0) for p in (torch.zeros(4, 5), torch.ones(4, 5))]
    assert torch.equal(scores[0], scores[1])
    torch.testing.assert_close(scores[0], adversary.network(z))
    assert scores[0].shape == (4, 3)


@pytest.mark.parametrize(("n_classes", "randomised"), [(16, False), (17, True)])
def test_products_above_1024_are_randomised(n_classes, randomised):
    adversary = DomainAdversary(64, n_domains=2, n_classes=n_classes)
    assert adversary.randomised is randomised
    width = 512 if randomised else 1024
    assert adversary.network[0].in_features == width
    assert {"map_z", "map_p"} <= set(adversary.state_dict()) or not randomised


def test_the_random_map_keeps_inner_products():
    generator = torch.manual_seed(0)
    z, p = torch.randn(2, 70), torch.softmax(torch.randn(2, 60, generator=generator), dim=1)
    z[1] = 0.5 * z[0] + z[1]
    exact = ((z[0] @ z[1]) * (p[0] @ p[1])).item()
    size = ((z[0] @ z[0]) * (p[0] @ p[0])).item()
    found = []
    for _ in range(60):
        joined = DomainAdversary(70, n_domains=2, n_classes=60, widths=(2,)).join(z, p)
        found.append([(joined[0] @ joined[1]).item(), (joined[0] @ joined[0]).item()])
    mean = torch.tensor(found).mean(dim=0)
    assert mean[0].item() == pytest.approx(exact, abs=0.06 * size)
    assert mean[1].item() == pytest.approx(size, rel=0.1)


def test_latents_get_the_reversed_gradient_and_the_head_its_own():
    torch.manual_seed(0)
    adversary = DomainAdversary(3, n_domains=2, n_classes=2)
    z0, p = torch.randn(5, 3), torch.softmax(torch.randn(5, 2), dim=1)
    domain = torch.tensor([0, 1, 0, 1, 1])
    grads, head = [], []
    for reversal in (-1.0, 0.7, 0.0):
        z = z0.clone().requires_grad_(True)
        adversary.zero_grad()
        balanced_cross_entropy(adversary(z, p, reversal), domain).backward()
        grads.append(z.grad)
        head.append(adversary.network[0].weight.grad.clone())
    torch.testing.assert_close(grads[1], -0.7 * grads[0])
    assert not grads[2].any()
    assert torch.equal(head[0], head[1])
    assert torch.equal(head[0], head[2])
    assert head[0].any()


def test_class_probabilities_are_constants():
    adversary = DomainAdversary(2, n_domains=2, n_classes=2)
    logits = torch.randn(4, 2, requires_grad=True)
    z = torch.randn(4, 2, requires_grad=True)
    adversary(z, torch.softmax(logits, dim=1), 1.0).sum().backward()
    assert logits.grad is None
    assert z.grad.any()


def test_gradients_of_head_and_loss_are_right():
    adversary = DomainAdversary(3, n_domains=2, n_classes=2).double()
    p = torch.softmax(torch.randn(4, 2, dtype=torch.float64), dim=1)
    domain = torch.tensor([0, 1, 1, 1])
    weight = torch.tensor([1.0, 0.5, 0.0, 2.0], dtype=torch.float64)
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda v: balanced_cross_entropy(adversary(v, p, -1.0), domain, weight), (z,)
    )


def test_balanced_loss_by_hand():
    q = torch.tensor([[0.5, 0.5], [0.8, 0.2], [0.9, 0.1]], dtype=torch.float64)
    domain, weight = torch.tensor([0, 0, 1]), torch.tensor([1.0, 3.0, 0.25], dtype=torch.float64)
    plain = (-(math.log(0.5) + math.log(0.8)) / 2 - math.log(0.1)) / 2
    weighted = (-(math.log(0.5) + 3 * math.log(0.8)) / 4 - math.log(0.1)) / 2
    assert balanced_cross_entropy(q.log(), domain).item() == pytest.approx(plain, abs=1e-12)
    assert balanced_cross_entropy(q.log(), domain, weight).item() == pytest.approx(
        weighted, abs=1e-12
    )


@pytest.mark.parametrize("n_domains", [2, 5])
def test_chance_is_log_d_whatever_the_sizes(n_domains):
    domain = torch.cat([torch.full((d**2 + 1,), d) for d in range(n_domains)])
    loss = balanced_cross_entropy(torch.zeros(len(domain), n_domains), domain)
    assert loss.item() == pytest.approx(math.log(n_domains), rel=1e-6)


def test_equal_sizes_give_ordinary_cross_entropy():
    logits, domain = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    expected = functional.cross_entropy(logits, domain)
    torch.testing.assert_close(balanced_cross_entropy(logits, domain), expected)


def test_absent_domains_do_not_count():
    logits, domain = torch.randn(4, 3), torch.tensor([2, 0, 2, 2])
    losses = functional.cross_entropy(logits, domain, reduction="none")
    expected = (losses[[0, 2, 3]].mean() + losses[1]) / 2
    torch.testing.assert_close(balanced_cross_entropy(logits, domain), expected)


def test_rows_of_weight_zero_have_no_say():
    logits = torch.randn(4, 2, requires_grad=True)
    domain, weight = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    balanced_cross_entropy(logits, domain, weight).backward()
    assert not logits.grad[[1, 3]].any()
    assert logits.grad[[0, 2]].any()


def test_without_any_weight_loss_and_gradient_are_zero():
    logits = torch.randn(4, 2, requires_grad=True)
    loss = balanced_cross_entropy(logits, torch.tensor([0, 0, 1, 1]), torch.zeros(4))
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()


def test_within_class_loss_by_hand():
    # Class 0: two rows of domain 0, one of domain 1. Class 1: one row of each. Class 2: domain 0.
    q = torch.tensor([[0.5], [0.8], [0.1], [0.3], [0.6], [0.9]], dtype=torch.float64)
    logits = torch.cat([q, 1 - q], dim=1).log()
    domain, code = torch.tensor([0, 0, 1, 0, 1, 0]), torch.tensor([0, 0, 0, 1, 1, 2])
    first = (-(math.log(0.5) + math.log(0.8)) / 2 - math.log(0.9)) / 2
    second = (-math.log(0.3) - math.log(0.4)) / 2
    harmonic = 2 / (1 / 2 + 1)
    expected = (harmonic * first + second) / (harmonic + 1)
    found = within_class_cross_entropy(logits, domain, code, torch.ones(2, 3, dtype=torch.bool))
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_mixed_precision_rounds_no_loss():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 2, generator=generator)
    domain, code = torch.arange(50) % 2, torch.arange(50) // 2 % 3
    arguments = (domain, *within_class_weight(domain, code, torch.ones(2, 3, dtype=torch.bool)))
    exact = weighted_cross_entropy(logits, *arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = weighted_cross_entropy(logits, *arguments)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=0)


def test_domains_that_cannot_have_a_class_are_no_answer():
    support = torch.tensor([[True], [True], [False]])
    logits, code = torch.tensor([[0.0, 0.0, 9.0]] * 3, requires_grad=True), torch.zeros(3).long()
    # The last row is of a class that its domain does not have: it is left out.
    loss = within_class_cross_entropy(logits, torch.tensor([0, 1, 2]), code, support)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[2].any()
    assert not logits.grad[:, 2].any()


def test_a_head_that_knows_the_class_alone_is_at_chance():
    # Nine rows of ten of domain 0 are of class 0, and one of ten in domain 1.
    domain = torch.arange(200) % 2
    code = (torch.arange(200) // 2 >= torch.where(domain == 0, 90, 10)).long()
    support = torch.ones(2, 2, dtype=torch.bool)
    scores = torch.zeros(2, 2, requires_grad=True)
    within_class_cross_entropy(scores[code], domain, code, support).backward()
    torch.testing.assert_close(scores.grad, torch.zeros(2, 2), atol=1e-6, rtol=0)
    balanced_cross_entropy(scores[code], domain).backward()
    assert scores.grad.abs().max() > 0.1


def test_shared_class_weight_by_hand():
    # Class 0 in both domains, class 1 in the first, class 2 in none, class 3 in the second.
    support = torch.tensor([[True, True, False, False], [True, False, False, True]])
    p = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0], [0, 1, 0, 0], [0.0, 0, 0.5, 0.5]])
    torch.testing.assert_close(shared_class_weight(p, support), torch.tensor([0.1, 1, 0, 0]))


def test_two_of_three_domains_are_enough_to_share():
    support = torch.tensor([[True, False], [True, True], [False, False]])
    p = torch.tensor([[0.3, 0.7]])
    torch.testing.assert_close(shared_class_weight(p, support), torch.tensor([0.3]))
