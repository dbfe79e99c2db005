"""Heads of the auxiliary phenotypes: scores from the latents and from linear members, combined."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from scvi import REGISTRY_KEYS
from torch import nn
from torch.nn import functional

from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from domainvi.data import Phenotype

    from ._domain_vae import DomainVAE
    from ._modality import ScalingStatistics

# Weight of the network where it and a linear member both answer.
NETWORK_SHARE = 0.25


class PhenotypeScores(NamedTuple):
    """Raw scores of rows for all phenotypes side by side, each ``(n_rows, n_outputs)``."""

    network: torch.Tensor
    linear: torch.Tensor


class PhenotypeHeads(nn.Module):
    r"""A linear head on the latents and a linear member on standardised genes for each phenotype.

    With the scores :math:`f` of the head and :math:`g` of the member for a row of domain
    :math:`d`, a categorical phenotype has the probabilities

    .. math:: p_k \propto e^{o_{dk}} \bigl((1 - a)\, \mathrm{softmax}(g / T_g)_k
              + a\, \mathrm{softmax}(f / T_f)_k\bigr),

    where :math:`T` are temperatures from held-out rows, :math:`a` is the network's share and
    :math:`o` the log-odds of the classes among the domain's own labelled rows, 0 where it has none.
    A numeric phenotype :math:`y = m + s v` has the value and the variance of the mixture of two
    normals,

    .. math:: v = o_d + (1 - a) g + a f, \qquad
              \sigma^2 = (1 - a) \sigma_g^2 + a \sigma_f^2 + a (1 - a) (f - g)^2,

    where :math:`\sigma_g, \sigma_f` are the errors on held-out rows, larger for domains without
    values of their own, and :math:`o_d` is the shrunk mean of the domain's own values.

    The loss of the heads (:meth:`loss`) needs no weights: each phenotype's is divided by that of a
    head which knows nothing, :math:`\log K` for the class-balanced cross-entropy of :math:`K`
    classes and 1 for the squared error of :math:`v`, and the mean is taken over phenotypes.

    Parameters
    ----------
    phenotypes
        The phenotypes.
    n_latent, n_domains, n_input
        Sizes.
    """

    coef: torch.Tensor
    intercept: torch.Tensor
    offset: torch.Tensor
    is_known: torch.Tensor
    class_weight: torch.Tensor
    location: torch.Tensor
    scale: torch.Tensor
    temperature: torch.Tensor
    spread: torch.Tensor
    widening: torch.Tensor
    share: torch.Tensor

    def __init__(
        self, phenotypes: Sequence[Phenotype], n_latent: int, n_domains: int, n_input: int
    ) -> None:
        super().__init__()
        self.phenotypes = tuple(phenotypes)
        n, width = len(self.phenotypes), sum(p.n_outputs for p in self.phenotypes)
        self.heads = nn.Linear(n_latent, width)
        self.register_buffer("coef", torch.zeros(n_input, width))
        self.register_buffer("intercept", torch.zeros(width))
        self.register_buffer("offset", torch.zeros(n_domains, width))
        self.register_buffer("is_known", torch.zeros(n_domains, n, dtype=torch.bool))
        self.register_buffer("class_weight", torch.ones(width))
        self.register_buffer("location", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        # Of the network and of the linear member.
        self.register_buffer("temperature", torch.ones(n, 2))
        self.register_buffer("spread", torch.ones(n, 2))
        # How much larger errors are in domains without values of their own.
        self.register_buffer("widening", torch.ones(n))
        self.register_buffer("share", torch.full((n,), NETWORK_SHARE))

    def index(self, key: str) -> int:
        """Position of a phenotype; an InputError when there is none of that name."""
        keys = [p.key for p in self.phenotypes]
        if key not in keys:
            msg = f"target {key!r} is not a target of this model; it has {', '.join(keys)}."
            raise InputError(msg)
        return keys.index(key)

    def block(self, i: int) -> slice:
        """Columns of phenotype ``i`` among all scores."""
        start = sum(p.n_outputs for p in self.phenotypes[:i])
        return slice(start, start + self.phenotypes[i].n_outputs)

    def forward(self, z: torch.Tensor, s: torch.Tensor) -> PhenotypeScores:
        """Score rows by latents ``(n_rows, n_latent)`` and standardised genes ``(n_rows, g)``."""
        return PhenotypeScores(self.heads(z), s @ self.coef + self.intercept)

    def forget(self, domains: slice) -> None:
        """Take what is known of domains away."""
        self.offset[domains] = 0.0
        self.is_known[domains] = False

    def _own(self, values: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        """Take the row of each domain; zeros for domains that are not known."""
        inside = domain < len(values)
        return values[torch.where(inside, domain, 0)] * inside[:, None]

    def log_probabilities(
        self, i: int, scores: PhenotypeScores, domain: torch.Tensor, *, calibrated: bool = True
    ) -> torch.Tensor:
        """Log-probabilities of the classes of phenotype ``i``, ``(n_rows, n_classes)``."""
        block, share = self.block(i), self.share[i]
        warmth = self.temperature[i] if calibrated else torch.ones_like(self.temperature[i])
        network = torch.softmax(scores.network[:, block] / warmth[0], dim=1)
        linear = torch.softmax(scores.linear[:, block] / warmth[1], dim=1)
        p = (1 - share) * linear + share * network
        offset = self._own(self.offset[:, block], domain)
        return functional.log_softmax(torch.log(p.clamp_min(1e-12)) + offset, dim=1)

    def values(
        self, i: int, scores: PhenotypeScores, domain: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values of numeric phenotype ``i`` and their standard errors, each ``(n_rows,)``."""
        block, share = self.block(i), self.share[i]
        network, linear = scores.network[:, block], scores.linear[:, block]
        value = self._own(self.offset[:, block], domain) + (1 - share) * linear + share * network
        error = self.spread[i].square()
        variance = (1 - share) * error[1] + share * error[0]
        variance = variance + share * (1 - share) * (network - linear).square()
        known = self._own(self.is_known[:, i, None], domain).bool()
        widening = torch.where(known, 1.0, self.widening[i])
        value = self.location[i] + self.scale[i] * value
        return value.squeeze(1), (self.scale[i] * widening * variance.sqrt()).squeeze(1)

    def standardised(
        self, i: int, values: torch.Tensor, domain: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Bring values of numeric phenotype ``i`` to the scale of its scores; NaN stays."""
        v = (values - self.location[i]) / self.scale[i]
        if domain is None:
            return v
        return v - self._own(self.offset[:, self.block(i)], domain).squeeze(1)

    def loss(
        self, z: torch.Tensor, tensors: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean loss of the phenotypes with a value in the batch, and each of them."""
        domain = tensors[REGISTRY_KEYS.BATCH_KEY].squeeze(-1).long()
        scores = self.heads(z)
        terms = dict(self._losses(scores, tensors, domain))
        total = torch.stack(list(terms.values())).mean() if terms else z.new_zeros(())
        return total, {"phenotype_loss": total, **terms}

    def _losses(
        self, scores: torch.Tensor, tensors: dict[str, torch.Tensor], domain: torch.Tensor
    ) -> Iterator[tuple[str, torch.Tensor]]:
        for i, phenotype in enumerate(self.phenotypes):
            block, given = self.block(i), tensors[phenotype.field].squeeze(-1)
            if phenotype.is_numeric:
                v = self.standardised(i, given, domain)
                known = torch.isfinite(v)
                loss = functional.mse_loss(scores[known, block].squeeze(1), v[known].float())
            else:
                known = given < phenotype.n_outputs
                loss = functional.cross_entropy(
                    scores[known, block], given[known].long(), self.class_weight[block]
                ) / math.log(phenotype.n_outputs)
            if known.any():
                yield f"phenotype_{phenotype.key}_loss", loss


def heads_of(module: DomainVAE) -> PhenotypeHeads:
    """Return the heads of the auxiliary phenotypes of a module; an InputError if it has none."""
    if module.phenotypes is None:
        msg = "The model has no targets. Name them as target_keys in setup_anndata."
        raise InputError(msg)
    return module.phenotypes


def phenotype_scores(
    module: DomainVAE,
    key: str,
    u: torch.Tensor,
    domain: torch.Tensor,
    statistics: Mapping[str, ScalingStatistics] | None = None,
) -> torch.Tensor:
    """Score rows by an auxiliary phenotype, differentiable in their log values ``u``.

    Returns
    -------
    Log-probabilities of the classes, ``(n_rows, n_classes)``, or of a numeric phenotype the
    values, ``(n_rows, 1)``.
    """
    heads, modality = heads_of(module), module.modalities.only
    own = None if statistics is None else next(iter(statistics.values()), None)
    mean, _ = modality.encode(u, domain, own)
    scores = heads(mean, modality.standardised_by_domain(u, domain, own))
    i = heads.index(key)
    if heads.phenotypes[i].is_numeric:
        return heads.values(i, scores, domain)[0][:, None]
    return heads.log_probabilities(i, scores, domain)
