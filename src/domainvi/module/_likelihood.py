"""Distributions of expression values given the decoder's scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from scvi.distributions import Normal as ScviNormal
from scvi.distributions import Poisson
from torch import nn
from torch.nn import functional

from domainvi.errors import InputError
from domainvi.nn import NO_DECAY

from ._negative_binomial import AnalyticNegativeBinomial, AnalyticZeroInflatedNegativeBinomial

if TYPE_CHECKING:
    from torch.distributions import Distribution

    from domainvi.nn import Standardiser

LIKELIHOODS = ("normal", "nb", "zinb", "poisson")


class Likelihood(nn.Module, ABC):
    """Maps decoder scores to a distribution over expression values."""

    @abstractmethod
    def forward(
        self,
        scores: torch.Tensor,
        library: torch.Tensor,
        domain: torch.Tensor,
        standardiser: Standardiser,
        genes: torch.Tensor | None = None,
    ) -> Distribution:
        """Return the distribution of rows with these scores, of some genes or of all."""

    def start(self, domain: int, share: torch.Tensor) -> None:
        """Start from the mean profile of a domain, shares of the library that sum to one."""


class NormalLikelihood(Likelihood):
    r""":math:`x_g \sim N(m_{dg} + s_{dg} f_g(z, d),\ (s_{dg} \sigma_g)^2)` on log values.

    Centre :math:`m` and scale :math:`s` are the tables of the input scaling, so the decoder
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
