"""Each independence term against values by hand, and 0 with no gradient at independence."""

import math

import numpy as np
import pytest
import torch

from domainvi.disentangled._independence import (
    JointDiscriminator,
    cross_covariance,
    hsic,
    shuffle_blocks,
    standardise_columns,
)

# Every value of one block with every value of the other: independent, and not by luck.
A = torch.tensor([[0.0], [0.0], [0.0], [1.0], [1.0], [1.0]])
B = torch.tensor([[0.0], [1.0], [5.0], [0.0], [1.0], [5.0]])
MEASURES = [cross_covariance, hsic]


@pytest.mark.parametrize("measure", MEASURES)
def test_zero_with_zero_gradient_at_independence(measure):
    a, b = A.clone().requires_grad_(), B.clone().requires_grad_()
    value = measure(a, b)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-7)  # rounding of float32
    assert a.grad.abs().max() < 1e-5
    assert b.grad.abs().max() < 1e-5


@pytest.mark.parametrize("measure", MEASURES)
def test_one_for_a_block_and_itself_and_below_one_otherwise(measure):
    assert measure(A, 3 - 2 * A).item() == pytest.approx(1.0, abs=1e-5)
    torch.manual_seed(0)
    a = torch.randn(50, 1)
    assert 0.0 < measure(a, a + torch.randn(50, 1)).item() < 0.9


def test_covariance_is_the_mean_squared_correlation():
    a = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 0.0]])
    b = torch.tensor([[1.0], [0.0], [2.0], [5.0]])
    r = np.corrcoef(np.hstack([a, b]).T)[:2, 2]
    assert cross_covariance(a, b).item() == pytest.approx(float(np.mean(r**2)), abs=1e-6)


def test_covariance_does_not_depend_on_the_number_or_the_scale_of_columns():
    torch.manual_seed(0)
    a, b = torch.randn(40, 2), torch.randn(40, 3)
    doubled = cross_covariance(torch.cat([a, 7 * a], dim=1), b)
    torch.testing.assert_close(doubled, cross_covariance(a, b))


def test_hsic_sees_what_covariance_does_not():
    a = torch.linspace(-1, 1, 41)[:, None]
    assert cross_covariance(a, a**2).item() < 1e-8
    assert hsic(a, a**2).item() > 0.1


def test_hsic_by_hand():
    # Squared distances are 0, 1 and 4; their positive median is 1, the bandwidth.
    x, y = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [0.0], [1.0]])

    def centred(v):
        d = (v - v.T).square().numpy()
        h = np.eye(3) - 1 / 3
        return h @ np.exp(-d / np.median(d[d > 0])) @ h

    k, m = centred(x), centred(y)
    expected = np.sum(k * m) / math.sqrt(np.sum(k * k) * np.sum(m * m))
    assert hsic(x, y).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_within_strata_what_they_share_does_not_count(measure):
    stratum = torch.tensor([0] * 4 + [1] * 4)
    inside = torch.tensor([[0.0], [0.0], [1.0], [1.0]]), torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    a, b = (torch.cat([v, v + 9]) for v in inside)
    assert measure(a, b).item() > 0.9
    assert measure(a, b, stratum).item() == pytest.approx(0.0, abs=1e-7)


def test_hsic_within_strata_sees_what_is_small_beside_the_strata():
    generator = torch.Generator().manual_seed(0)
    stratum = torch.arange(80) % 4
    b = (torch.arange(80) // 4 % 2).float()[:, None]
    a = 100 * stratum[:, None] + b + 0.1 * torch.randn(80, 1, generator=generator)
    assert hsic(a, b).item() < 0.01
    assert hsic(a, b, stratum).item() > 0.9


def test_hsic_within_strata_is_that_of_the_strata_together():
    # Both strata hold the same rows, so that their bandwidths are that of each.
    x, y = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([[0.0], [2.0], [1.0], [1.0]])
    twice, other = torch.cat([x, x + 50]), torch.cat([y, y - 9])
    stratum = torch.tensor([5] * 4 + [2] * 4)
    torch.testing.assert_close(hsic(twice, other, stratum), hsic(x, y))
    # A row on its own has nothing to be compared with.
    alone = hsic(torch.cat([x, -x[:1]]), torch.cat([y, y[1:2]]), torch.tensor([0, 0, 0, 0, 1]))
    torch.testing.assert_close(alone, hsic(x, y))


def test_hsic_within_strata_has_the_slope_of_its_values():
    # The bandwidth is a constant to the gradient: the median distance is one of other rows.
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0]], dtype=torch.float64)
    a, b = torch.cat([x, x - 40]), torch.cat([x.flip(0) ** 2, x])
    stratum = torch.tensor([0] * 4 + [1] * 4)
    leaf = a.clone().requires_grad_()
    hsic(leaf, b, stratum).backward()
    step = torch.zeros_like(a)
    step[3] = 1e-5
    expected = (hsic(a + step, b, stratum) - hsic(a - step, b, stratum)) / 2e-5
    assert abs(expected.item()) > 1e-3
    assert leaf.grad[3].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_constant_column_has_no_dependence_and_a_finite_gradient():
    a = torch.ones(6, 1, requires_grad=True)
    value = cross_covariance(a, B)
    value.backward()
    assert value.item() == 0.0
    assert torch.isfinite(a.grad).all()
    assert torch.equal(standardise_columns(torch.ones(3, 2)), torch.zeros(3, 2))


def test_discriminator_at_its_optimum_under_independence_is_zero_without_gradient():
    # Joint and shuffled rows are the same set, so that the best answer is one half everywhere.
    discriminator = JointDiscriminator(2)
    torch.nn.init.zeros_(discriminator.network[-1].weight)
    torch.nn.init.zeros_(discriminator.network[-1].bias)
    a = A.clone().requires_grad_()
    value = discriminator([a, B], [A, B[[1, 2, 0, 4, 5, 3]]], 1.0)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-7)
    assert torch.equal(a.grad, torch.zeros_like(a))


def test_discriminator_stays_at_chance_when_the_blocks_are_independent():
    discriminator = JointDiscriminator(2)
    optimiser = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    for step in range(300):
        optimiser.zero_grad()
        shuffled = shuffle_blocks([A, B], np.random.default_rng(step))
        discriminator([A, B], shuffled, 1.0).backward()
        optimiser.step()
    every = discriminator([A, B], [A, B[[1, 2, 0, 4, 5, 3]]], 1.0)
    assert abs(every.item()) < 0.02


def test_discriminator_value_by_hand_and_reversed_gradient():
    discriminator = JointDiscriminator(2)
    joint, product = [A, A], [A, 1 - A]
    scores = discriminator.network(torch.cat([torch.cat(joint, 1), torch.cat(product, 1)]))[:, 0]
    p = torch.sigmoid(scores)
    expected = -(torch.log(p[:6]).mean() + torch.log(1 - p[6:]).mean()) / 2 - math.log(2)
    assert discriminator(joint, product, 1.0).item() == pytest.approx(expected.item(), abs=1e-6)

    def gradient(weight):
        a = A.clone().requires_grad_()
        discriminator([a, A], product, weight).backward()
        return a.grad

    assert torch.equal(gradient(0.0), torch.zeros_like(A))
    torch.testing.assert_close(gradient(2.0), -2 * gradient(-1.0))


def test_shuffling_keeps_blocks_whole_the_first_in_place_and_strata_apart():
    blocks = [torch.arange(8.0)[:, None], torch.arange(16.0).view(8, 2)]
    stratum = torch.tensor([0, 1] * 4)
    first, second = shuffle_blocks(blocks, np.random.default_rng(1), stratum)
    assert torch.equal(first, blocks[0])
    assert not torch.equal(second, blocks[1])
    source = (second[:, 0] / 2).long()
    assert sorted(source.tolist()) == list(range(8))
    assert torch.equal(second, blocks[1][source])
    assert torch.equal(stratum[source], stratum)
