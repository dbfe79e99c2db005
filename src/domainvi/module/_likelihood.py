"""Distributions of expression values given the decoder's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from scvi.distributions import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from scvi.distributions import Normal as ScviNormal
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from domainvi.errors import InputError
from domainvi.nn import NO_DECAY

if TYPE_CHECKING:
    from torch.distributions import Distribution

    from domainvi.nn import Standardiser


# As in scvi-tools, so that the values are the same.
EPS = 1e-8


class _LogLikelihood(torch.autograd.Function):
    r"""Log-likelihood of counts; :func:`log_likelihood` is its public face.

    With :math:`t = \theta + \mu`, the zero-inflated form with dropout logit :math:`\pi` is

    .. math:: A = -\pi + \theta (\log\theta - \log t), \qquad
              \ell_0 = s(A) - s(-\pi), \qquad
              \ell_x = A - s(-\pi) + x (\log\mu - \log t)
                       + \log\frac{\Gamma(x + \theta)}{\Gamma(\theta)\, x!}

    with :math:`s` the softplus. With :math:`w = \sigma(A)` for zeros and 1 elsewhere, one set of
    derivatives serves both cases, and :math:`\pi = -\infty` gives the plain form:

    .. math:: \partial_\mu = x (1 / \mu - 1 / t) - w \theta / t, \qquad
              \partial_\pi = \sigma(-\pi) - w, \qquad
              \partial_\theta = w (\log\theta + 1 - \log t - \theta / t) - x / t
                                + \psi(x + \theta) - \psi(\theta).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        mu: torch.Tensor,
        theta: torch.Tensor,
        logits: torch.Tensor | None,
    ) -> torch.Tensor:
        log_total = torch.log(theta + mu + EPS)
        exponent = theta * (torch.log(theta + EPS) - log_total)
        if logits is not None:
            exponent -= logits
        # In the order of scvi-tools, so that rounding is the same.
        counted = exponent + x * (torch.log(mu + EPS) - log_total)
        counted = counted + torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)
        if logits is None:
            ctx.save_for_backward(x, mu, theta, log_total)
            return counted
        ctx.save_for_backward(x, mu, theta, log_total, logits, exponent)
        inner = torch.where(x < EPS, functional.softplus(exponent), counted)
        return inner - functional.softplus(-logits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, mu, theta, log_total, *inflated = ctx.saved_tensors
        over_total = 1 / (theta + mu + EPS)
        g_zero, g_logits = g, None
        if inflated:
            logits, exponent = inflated
            weight = torch.where(x < EPS, torch.sigmoid(exponent), 1.0)
            g_zero, g_logits = g * weight, g * (torch.sigmoid(-logits) - weight)
        shared = g_zero * theta * over_total
        g_mu = g * x * (1 / (mu + EPS) - over_total) - shared
        slope = torch.log(theta + EPS) + theta / (theta + EPS) - log_total
        g_theta = g_zero * slope - shared
        g_theta += g * (torch.digamma(x + theta) - torch.digamma(theta) - x * over_total)
        # One theta a gene: its gamma functions are of the genes, not of the entries.
        return None, g_mu, g_theta.sum_to_size(theta.shape), g_logits


def log_likelihood(
    x: torch.Tensor, mu: torch.Tensor, theta: torch.Tensor, logits: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Log-likelihood of counts, with gradients written out.

    Equal to that of scvi-tools (Lopez et al., Nature Methods 2018) and several times faster:
    the gamma functions of :math:`\theta` are taken once a gene, and nothing is differentiated for
    the term in the counts alone.

    Parameters
    ----------
    x
        Counts, shape ``(n_rows, n_genes)``.
    mu
        Means, ``(..., n_rows, n_genes)``.
    theta
        Inverse dispersions, ``(n_genes,)``.
    logits
        Dropout logits, shaped as ``mu``; no zero inflation if ``None``.

    Examples
    --------
    >>> x, mu = torch.tensor([[0.0, 3.0]]), torch.tensor([[1.0, 3.0]])
    >>> log_likelihood(x, mu, torch.ones(2))
    tensor([[-0.6931, -2.2493]])
    """
    return _LogLikelihood.apply(x, mu, theta, logits)


class AnalyticNegativeBinomial(NegativeBinomial):
    """The negative binomial of scvi-tools with :func:`log_likelihood`.

    Parameters
    ----------
    mu
        Means, ``(..., n_genes)``.
    theta
        Inverse dispersions, ``(n_genes,)``.
    scale
        Shares of the library.
    """

    def __init__(self, mu: torch.Tensor, theta: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__(mu=mu, theta=theta, scale=scale, validate_args=False)
        self.gene_theta = theta

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log-likelihood of counts."""
        return log_likelihood(value, self.mu, self.gene_theta)


class AnalyticZeroInflatedNegativeBinomial(ZeroInflatedNegativeBinomial):
    """The zero-inflated form of scvi-tools with :func:`log_likelihood`.

    Parameters
    ----------
    mu, theta, scale
        Parameters of :class:`AnalyticNegativeBinomial`.
    zi_logits
        Dropout logits, shaped as ``mu``.
    """

    def __init__(
        self, mu: torch.Tensor, theta: torch.Tensor, zi_logits: torch.Tensor, scale: torch.Tensor
    ) -> None:
        super().__init__(mu=mu, theta=theta, zi_logits=zi_logits, scale=scale, validate_args=False)
        self.gene_theta = theta

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log-likelihood of counts."""
        return log_likelihood(value, self.mu, self.gene_theta, self.zi_logits)


LIKELIHOODS = ("normal", "nb", "zinb", "poisson")


class Likelihood(nn.Module):
    """Maps decoder scores to a distribution over expression values."""

    def start(self, domain: int, share: torch.Tensor) -> None:
        """Start from the mean profile of a domain, shares of the library that sum to one."""


class NormalLikelihood(Likelihood):
    r""":math:`x_g \sim N(m_{dg} + s_{dg} f_g(z, d),\ (s_{dg} \sigma_g)^2)` on log values.

    Centre :math:`m` and scale :math:`s` are the statistics of the input scaling, so the decoder
    :math:`f` works on standardised values whatever the units of a cohort.
    """

    def __init__(self, n_output: int) -> None:
        super().__init__()
        self.raw_scale = nn.Parameter(torch.full((n_output,), 0.5))

    def forward(
        self,
        scores: torch.Tensor,
        library: torch.Tensor,
        domain: torch.Tensor,
        standardiser: Standardiser,
        genes: torch.Tensor | None = None,
    ) -> Distribution:
        """Return the distribution of rows with these scores, of some genes or of all."""
        every = slice(None) if genes is None else genes
        loc, scale = standardiser.loc[:, every][domain], standardiser.scale[:, every][domain]
        sigma = functional.softplus(self.raw_scale[every]) + 1e-3
        mean = loc + scale * scores
        return ScviNormal(mean, scale * sigma, validate_args=False)


class CountLikelihood(Likelihood):
    r"""Counts with mean :math:`\ell\, e^{b_{dg} + f_g(z, d)}`, library :math:`\ell` times a share.

    Negative binomial with inverse dispersion :math:`\theta_g`, its zero-inflated form (one
    dropout logit a gene and domain), or Poisson; the distributions are those of scvi-tools
    (Lopez et al., Nature Methods 2018). The baseline :math:`b_d` is the log mean profile of each
    domain and is learnt on. The log link leaves the sum of the shares free, so that the mean of a
    gene can be had without those of all others; a share is at most 1.

    Parameters
    ----------
    kind
        ``"nb"``, ``"zinb"`` or ``"poisson"``.
    n_domains
        Rows of the baseline.
    n_output
        Genes.
    """

    def __init__(self, kind: str, n_domains: int, n_output: int) -> None:
        super().__init__()
        self.kind = kind
        self.baseline = nn.Parameter(torch.zeros(n_domains, n_output))
        # Log profiles are far from 0 and must not be drawn there.
        setattr(self.baseline, NO_DECAY, True)
        if kind != "poisson":
            self.log_theta = nn.Parameter(torch.zeros(n_output))
        if kind == "zinb":
            self.dropout_logit = nn.Parameter(torch.full((n_domains, n_output), -2.0))
            setattr(self.dropout_logit, NO_DECAY, True)

    @torch.no_grad()
    def start(self, domain: int, share: torch.Tensor) -> None:
        """Set the baseline of a domain to its log mean profile."""
        self.baseline[domain] = torch.log(share + 1e-8)

    def forward(
        self,
        scores: torch.Tensor,
        library: torch.Tensor,
        domain: torch.Tensor,
        standardiser: Standardiser,
        genes: torch.Tensor | None = None,
    ) -> Distribution:
        """Return the distribution of rows with these scores, of some genes or of all."""
        every = slice(None) if genes is None else genes
        share = torch.exp((scores + self.baseline[:, every][domain]).clamp(-30.0, 0.0))
        # Rows without a single count have a library of 0, where the logarithm is not finite.
        mean = library.clamp_min(1.0) * share
        if self.kind == "poisson":
            return Poisson(rate=mean, scale=share, validate_args=False)
        theta = torch.exp(self.log_theta[every])
        if self.kind == "nb":
            return AnalyticNegativeBinomial(mean, theta, share)
        logits = self.dropout_logit[:, every][domain]
        return AnalyticZeroInflatedNegativeBinomial(mean, theta, logits.expand_as(mean), share)


def build_likelihood(kind: str, n_domains: int, n_output: int) -> Likelihood:
    """Build the likelihood called ``kind``."""
    if kind not in LIKELIHOODS:
        msg = f"likelihood={kind!r} is not known. Use one of {', '.join(LIKELIHOODS)} or 'auto'."
        raise InputError(msg)
    if kind == "normal":
        return NormalLikelihood(n_output)
    return CountLikelihood(kind, n_domains, n_output)
