"""Products and mixtures of Gaussians, by values worked out by hand."""

from __future__ import annotations

import torch

from domainvi.nn import product_of_experts

YES, NO = True, False


def experts(*pairs: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """One row and one latent; mean and variance of each expert."""
    values = torch.tensor(pairs, dtype=torch.float64)
    return values[:, 0].view(-1, 1, 1), values[:, 1].view(-1, 1, 1)


def combine(present: list[bool], *pairs: tuple[float, float]) -> tuple[float, float]:
    mean, variance = product_of_experts(*experts(*pairs), torch.tensor([present]))
    return mean.item(), variance.item()


def test_no_modality_is_the_prior():
    assert combine([NO, NO], (5.0, 0.1), (-3.0, 2.0)) == (0.0, 1.0)


def test_one_modality_is_its_encoder_times_the_prior():
    # Precision 1 + 1/0.25 = 5; mean 4 * 3 / 5.
    mean, variance = combine([NO, YES], (100.0, 1.0), (3.0, 0.25))
    torch.testing.assert_close(torch.tensor([mean, variance]), torch.tensor([2.4, 0.2]))


def test_two_modalities_by_hand():
    # Precision 1 + 2 + 4 = 7; mean (2 * 1 + 4 * -2) / 7.
    mean, variance = combine([YES, YES], (1.0, 0.5), (-2.0, 0.25))
    torch.testing.assert_close(torch.tensor([mean, variance]), torch.tensor([-6 / 7, 1 / 7]))


def test_it_is_the_normalised_product_of_the_densities():
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    normal = torch.distributions.Normal
    density = torch.exp(
        normal(0.0, 1.0).log_prob(grid)
        + normal(1.5, 0.7**0.5).log_prob(grid)
        + normal(-0.5, 2.0**0.5).log_prob(grid)
    )
    density /= density.sum()
    mean = (density * grid).sum()
    variance = (density * (grid - mean).square()).sum()
    got = combine([YES, YES], (1.5, 0.7), (-0.5, 2.0))
    torch.testing.assert_close(got, (mean.item(), variance.item()), rtol=1e-6, atol=1e-6)


def test_an_expert_that_knows_nothing_has_no_say():
    with_it = combine([YES, YES], (2.0, 0.5), (9.0, 1e12))
    assert with_it[0] - combine([YES, NO], (2.0, 0.5), (9.0, 1.0))[0] < 1e-9


def test_a_certain_expert_decides():
    mean, variance = combine([YES, YES], (2.0, 0.5), (9.0, 1e-12))
    assert abs(mean - 9.0) < 1e-9
    assert variance < 1e-11


def test_order_does_not_matter_and_rows_do_not_mix():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(3, 5, 2, generator=generator)
    variance = torch.rand(3, 5, 2, generator=generator) + 0.1
    present = torch.tensor(
        [[YES, NO, YES], [NO, NO, NO], [YES, YES, YES], [NO, YES, NO], [YES, YES, NO]]
    )
    whole = product_of_experts(mean, variance, present)
    order = [2, 0, 1]
    turned = product_of_experts(mean[order], variance[order], present[:, order])
    alone = product_of_experts(mean[:, 3:4], variance[:, 3:4], present[3:4])
    for a, b, c in zip(whole, turned, alone, strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a[3:4], c)


def test_a_missing_expert_gets_no_gradient_even_when_it_is_not_finite():
    mean = torch.tensor([[[1.0]], [[torch.nan]]], requires_grad=True)
    variance = torch.tensor([[[0.5]], [[0.5]]], requires_grad=True)
    out, _ = product_of_experts(mean, variance, torch.tensor([[YES, NO]]))
    out.sum().backward()
    torch.testing.assert_close(out, torch.tensor([[2 / 3]]))
    torch.testing.assert_close(mean.grad.flatten(), torch.tensor([2 / 3, 0.0]))
    assert variance.grad[1].item() == 0.0
