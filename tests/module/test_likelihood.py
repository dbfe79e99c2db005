"""Likelihoods against densities written out, and against torch and scvi-tools."""

import math

import pytest
import torch
from scvi.distributions import NegativeBinomial
from torch.nn import functional

from domainvi.errors import InputError
from domainvi.module import CountLikelihood, NormalLikelihood
from domainvi.module._likelihood import build_likelihood
from domainvi.nn import Standardiser

COUNTS = ("nb", "zinb", "poisson")
DOMAIN = torch.tensor([0, 1, 1])
LIBRARY = torch.tensor([[10.0], [100.0], [1000.0]])


@pytest.fixture
def standardiser() -> Standardiser:
    module = Standardiser(2, 4)
    module.set_statistics(torch.randn(2, 4), torch.rand(2, 4) + 0.5)
    return module


def log_nb(x: float, mu: float, theta: float) -> float:
    choose = math.lgamma(x + theta) - math.lgamma(theta) - math.lgamma(x + 1)
    tail = x * math.log(mu / (theta + mu))
    return choose + theta * math.log(theta / (theta + mu)) + tail


def test_normal_by_hand(standardiser):
    likelihood, scores = NormalLikelihood(4), torch.randn(3, 4)
    with torch.no_grad():
        likelihood.raw_scale.copy_(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
    px = likelihood(scores, LIBRARY, DOMAIN, standardiser)
    x = torch.randn(3, 4)
    loc, scale = standardiser.loc[DOMAIN], standardiser.scale[DOMAIN]
    sigma = functional.softplus(likelihood.raw_scale) + 1e-3
    torch.testing.assert_close(px.mean, loc + scale * scores)
    # The density of standardised values, times the Jacobian 1 / scale.
    standard = torch.distributions.Normal(scores, sigma).log_prob((x - loc) / scale)
    torch.testing.assert_close(px.log_prob(x), standard - scale.log())


def test_normal_does_not_depend_on_the_units_of_a_cohort(standardiser):
    likelihood, scores, x = NormalLikelihood(4), torch.randn(3, 4), torch.randn(3, 4)
    before = likelihood(scores, LIBRARY, DOMAIN, standardiser).log_prob(x)
    standardiser.set_statistics(5 * standardiser.loc + 3, 5 * standardiser.scale)
    after = likelihood(scores, LIBRARY, DOMAIN, standardiser).log_prob(5 * x + 3)
    torch.testing.assert_close(after, before - math.log(5), rtol=1e-4, atol=1e-4)


def test_negative_binomial_by_hand(standardiser):
    likelihood = CountLikelihood("nb", 2, 4)
    likelihood.start(0, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    with torch.no_grad():
        likelihood.log_theta.copy_(torch.tensor([0.5, 1.0, 2.0, 4.0]).log())
    scores = torch.tensor([[0.0, math.log(0.5), 0.0, 0.0]])
    px = likelihood(scores, LIBRARY[:1], DOMAIN[:1], standardiser)
    mu = [1.0, 1.0, 3.0, 4.0]
    torch.testing.assert_close(px.mean, torch.tensor([mu]), rtol=1e-5, atol=1e-5)
    theta = [0.5, 1.0, 2.0, 4.0]
    expected = [log_nb(x, m, t) for x, m, t in zip([0, 1, 5, 3], mu, theta, strict=True)]
    found = px.log_prob(torch.tensor([[0.0, 1.0, 5.0, 3.0]]))
    torch.testing.assert_close(found, torch.tensor([expected]), rtol=1e-4, atol=1e-4)


def test_zero_inflation_by_hand(standardiser):
    plain, inflated = (CountLikelihood(kind, 2, 4) for kind in ("nb", "zinb"))
    for likelihood in (plain, inflated):
        likelihood.start(0, torch.full((4,), 0.25))
    with torch.no_grad():
        inflated.dropout_logit[0] = torch.tensor([-20.0, 0.0, 0.0, 20.0])
    args = (torch.zeros(1, 4), LIBRARY[:1], DOMAIN[:1], standardiser)
    x = torch.tensor([[0.0, 0.0, 3.0, 0.0]])
    nb = plain(*args).log_prob(x)[0].detach()
    expected = [nb[0], torch.log(0.5 + 0.5 * nb[1].exp()), nb[2] + math.log(0.5), 0.0]
    found = inflated(*args).log_prob(x)[0].tolist()
    assert found == pytest.approx([float(v) for v in expected], abs=1e-4)


def test_poisson_by_hand(standardiser):
    likelihood = CountLikelihood("poisson", 2, 4)
    likelihood.start(0, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    px = likelihood(torch.zeros(1, 4), LIBRARY[:1], DOMAIN[:1], standardiser)
    x = [2.0, 0.0, 3.0, 7.0]
    rate = [1.0, 2.0, 3.0, 4.0]
    expected = [v * math.log(r) - r - math.lgamma(v + 1) for v, r in zip(x, rate, strict=True)]
    found = px.log_prob(torch.tensor([x]))[0].tolist()
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", COUNTS)
def test_the_mean_profile_sums_to_the_library(standardiser, kind):
    likelihood = build_likelihood(kind, 2, 4)
    for domain in (0, 1):
        likelihood.start(domain, torch.softmax(torch.randn(4), dim=0))
    px = likelihood(torch.zeros(3, 4), LIBRARY, DOMAIN, standardiser)
    mean = px.mean if kind != "zinb" else px.mu
    torch.testing.assert_close(mean.sum(dim=1, keepdim=True), LIBRARY, rtol=1e-5, atol=0)
    torch.testing.assert_close(px.scale.sum(dim=1), torch.ones(3), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", COUNTS)
def test_rows_without_counts_have_a_finite_gradient(standardiser, kind):
    likelihood = build_likelihood(kind, 2, 4)
    scores = torch.zeros(3, 4, requires_grad=True)
    px = likelihood(scores, torch.zeros(3, 1), DOMAIN, standardiser)
    value = px.log_prob(torch.zeros(3, 4)).sum()
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("kind", COUNTS)
@pytest.mark.parametrize("score", [-50.0, 50.0, 1e4])
def test_extreme_scores_stay_finite(standardiser, kind, score):
    likelihood = build_likelihood(kind, 2, 4)
    scores = torch.full((3, 4), score, requires_grad=True)
    value = likelihood(scores, LIBRARY, DOMAIN, standardiser).log_prob(torch.ones(3, 4)).sum()
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("kind", ["normal", *COUNTS])
def test_some_genes_are_those_of_all(standardiser, kind):
    likelihood, genes = build_likelihood(kind, 2, 4), torch.tensor([3, 1])
    scores, x = torch.randn(3, 4) - 3, torch.ones(3, 4)
    whole = likelihood(scores, LIBRARY, DOMAIN, standardiser).log_prob(x)
    part = likelihood(scores[:, genes], LIBRARY, DOMAIN, standardiser, genes)
    torch.testing.assert_close(part.log_prob(x[:, genes]), whole[:, genes])


def test_our_density_is_that_of_scvi_tools(standardiser):
    likelihood = CountLikelihood("nb", 2, 4)
    px = likelihood(torch.randn(3, 4) - 2, LIBRARY, DOMAIN, standardiser)
    reference = NegativeBinomial(mu=px.mean, theta=likelihood.log_theta.exp())
    x = torch.poisson(px.mean.detach())
    torch.testing.assert_close(px.log_prob(x), reference.log_prob(x))


def test_an_unknown_likelihood_is_refused():
    with pytest.raises(InputError, match=r"likelihood='gamma' .* normal, nb, zinb, poisson"):
        build_likelihood("gamma", 2, 4)
