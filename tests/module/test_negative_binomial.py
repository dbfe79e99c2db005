"""The analytic negative binomials: gradients by finite differences, values by scvi-tools."""

import pytest
import torch
from scvi.distributions import NegativeBinomial, ZeroInflatedNegativeBinomial

from domainvi.module._likelihood import (
    AnalyticNegativeBinomial,
    AnalyticZeroInflatedNegativeBinomial,
    log_likelihood,
)


def example(*, inflated, dtype=torch.float64, rows=5, genes=7, requires_grad=True):
    generator = torch.Generator().manual_seed(1)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator, dtype=dtype)

    mu, theta = uniform(rows, genes) * 8 + 0.1, uniform(genes) * 4 + 0.1
    x = torch.poisson(mu * (uniform(rows, genes) > 0.4), generator)
    logits = 2 * uniform(rows, genes) - 1 if inflated else None
    for t in (mu, theta, logits):
        if t is not None:
            t.requires_grad_(requires_grad)
    return x, mu, theta, logits


def reference(x, mu, theta, logits):
    if logits is None:
        return NegativeBinomial(mu=mu, theta=theta, validate_args=False).log_prob(x)
    return ZeroInflatedNegativeBinomial(
        mu=mu, theta=theta, zi_logits=logits, validate_args=False
    ).log_prob(x)


@pytest.mark.parametrize("inflated", [False, True])
def test_gradcheck(inflated):
    x, mu, theta, logits = example(inflated=inflated)
    assert (x == 0).any()
    assert (x > 0).any()
    inputs = (mu, theta) if logits is None else (mu, theta, logits)
    assert torch.autograd.gradcheck(lambda *args: log_likelihood(x, *args), inputs)


@pytest.mark.parametrize("inflated", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_scvi_tools(inflated, dtype):
    args = example(inflated=inflated, dtype=dtype, rows=40, genes=30)
    inputs = [t for t in args[1:] if t is not None]
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
    found, expected = log_likelihood(*args), reference(*args)
    torch.testing.assert_close(found, expected, **tolerance)
    weight = torch.linspace(-1, 1, found.numel(), dtype=dtype).view_as(found)
    gradients = [torch.autograd.grad((v * weight).sum(), inputs) for v in (found, expected)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("inflated", [False, True])
def test_several_draws_share_the_counts(inflated):
    x, mu, theta, logits = example(inflated=inflated)
    many = torch.stack([mu, 2 * mu]).detach().requires_grad_(True)
    logits = None if logits is None else logits.expand_as(many)
    found = log_likelihood(x, many, theta, logits)
    torch.testing.assert_close(found, reference(x, many, theta, logits))
    found.sum().backward()
    assert many.grad.shape == many.shape
    assert theta.grad.shape == theta.shape


def test_extreme_values_stay_finite():
    x = torch.tensor([[0.0, 0.0, 1e7, 1e7]])
    mu = torch.tensor([[0.0, 1e7, 1e-12, 1e7]], requires_grad=True)
    theta = torch.tensor([1e-6, 1e6, 1e-6, 1e6], requires_grad=True)
    for logits in (None, torch.full((1, 4), -30.0)):
        value = log_likelihood(x, mu, theta, logits)
        gradients = torch.autograd.grad(value.sum(), (mu, theta))
        assert torch.isfinite(value).all()
        assert all(torch.isfinite(g).all() for g in gradients)


def test_the_distributions_are_still_those_of_scvi_tools():
    x, mu, theta, logits = example(inflated=True, requires_grad=False)
    plain = AnalyticNegativeBinomial(mu, theta, mu)
    inflated = AnalyticZeroInflatedNegativeBinomial(mu, theta, logits, mu)
    torch.testing.assert_close(plain.mean, mu)
    assert inflated.sample().shape == x.shape
    torch.testing.assert_close(plain.log_prob(x), reference(x, mu, theta, None))
    torch.testing.assert_close(inflated.log_prob(x), reference(x, mu, theta, logits))
