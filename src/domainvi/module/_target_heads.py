"""Heads of the further phenotypes: scores from the latents and from linear members, combined."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from scvi import REGISTRY_KEYS
from torch import nn
from torch.nn import functional

from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from domainvi.data import Phenotype

# The network's say where it and a linear member both have one.
NETWORK_SHARE = 0.25


class TargetScores(NamedTuple):
    """Raw scores of rows for all targets side by side, each ``(n_rows, n_outputs)``."""

    network: torch.Tensor
    linear: torch.Tensor


class TargetHeads(nn.Module):
    r"""One linear head a target on the shared latents, and a linear member on standardised genes.

    With the scores :math:`f` of the head and :math:`g` of the member for a row of domain
    :math:`d`, a categorical target has the probabilities

    .. math:: p_k \propto e^{o_{dk}} \bigl((1 - a)\, \mathrm{softmax}(g / T_g)_k
              + a\, \mathrm{softmax}(f / T_f)_k\bigr),

    where :math:`T` are temperatures from held-out rows, :math:`a` is the network's share and
    :math:`o` the log-odds of the classes among the domain's own labelled rows, 0 where it has none.
    A numeric target :math:`y = m + s v` has the value and the variance of the mixture of two
    normals,

    .. math:: v = o_d + (1 - a) g + a f, \qquad
              \sigma^2 = (1 - a) \sigma_g^2 + a \sigma_f^2 + a (1 - a) (f - g)^2,

    where :math:`\sigma_g, \sigma_f` are the errors on held-out rows, larger for domains without
    values of their own, and :math:`o_d` is the shrunk mean of the domain's own values.

    The loss of the heads (:meth:`loss`) needs no weights: each target's is divided by that of a
    head which knows nothing, :math:`\log K` for the class-balanced cross-entropy of :math:`K`
    classes and 1 for the squared error of :math:`v`, and the mean is taken over targets.

    Parameters
    ----------
    targets
        The targets.
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
        self, targets: Sequence[Phenotype], n_latent: int, n_domains: int, n_input: int
    ) -> None:
        super().__init__()
        self.targets = tuple(targets)
        n, width = len(self.targets), sum(t.n_outputs for t in self.targets)
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
        """Position of a target; an InputError when there is none of that name."""
        keys = [t.key for t in self.targets]
        if key not in keys:
            msg = f"target {key!r} is not a target of this model; it has {', '.join(keys)}."
            raise InputError(msg)
        return keys.index(key)

    def block(self, i: int) -> slice:
        """Columns of target ``i`` among all scores."""
        start = sum(t.n_outputs for t in self.targets[:i])
        return slice(start, start + self.targets[i].n_outputs)

    def forward(self, z: torch.Tensor, s: torch.Tensor) -> TargetScores:
        """Score rows by latents ``(n_rows, n_latent)`` and standardised genes ``(n_rows, g)``."""
        return TargetScores(self.heads(z), s @ self.coef + self.intercept)

    def forget(self, domains: slice) -> None:
        """Take what is known of domains away."""
        self.offset[domains] = 0.0
        self.is_known[domains] = False

    def _own(self, table: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        """Rows of a table by domain; zeros for domains that it does not have."""
        inside = domain < len(table)
        return table[torch.where(inside, domain, 0)] * inside[:, None]

    def log_probabilities(
        self, i: int, scores: TargetScores, domain: torch.Tensor, *, calibrated: bool = True
    ) -> torch.Tensor:
        """Log-probabilities of the classes of categorical target ``i``, ``(n_rows, n_classes)``."""
        block, share = self.block(i), self.share[i]
        warmth = self.temperature[i] if calibrated else torch.ones_like(self.temperature[i])
        network = torch.softmax(scores.network[:, block] / warmth[0], dim=1)
        linear = torch.softmax(scores.linear[:, block] / warmth[1], dim=1)
        p = (1 - share) * linear + share * network
        offset = self._own(self.offset[:, block], domain)
        return functional.log_softmax(torch.log(p.clamp_min(1e-12)) + offset, dim=1)

    def values(
        self, i: int, scores: TargetScores, domain: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values of numeric target ``i`` and their standard errors, each ``(n_rows,)``."""
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
        """Bring values of numeric target ``i`` to the scale of its scores; NaN stays."""
        v = (values - self.location[i]) / self.scale[i]
        if domain is None:
            return v
        return v - self._own(self.offset[:, self.block(i)], domain).squeeze(1)

    def loss(
        self, z: torch.Tensor, tensors: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean loss of the targets with a value in the batch, and each of them."""
        domain = tensors[REGISTRY_KEYS.BATCH_KEY].squeeze(-1).long()
        scores = self.heads(z)
        terms = dict(self._losses(scores, tensors, domain))
        total = torch.stack(list(terms.values())).mean() if terms else z.new_zeros(())
        return total, {"target_loss": total, **terms}

    def _losses(
        self, scores: torch.Tensor, tensors: dict[str, torch.Tensor], domain: torch.Tensor
    ) -> Iterator[tuple[str, torch.Tensor]]:
        for i, target in enumerate(self.targets):
            block, given = self.block(i), tensors[target.field].squeeze(-1)
            if target.is_numeric:
                v = self.standardised(i, given, domain)
                known = torch.isfinite(v)
                loss = functional.mse_loss(scores[known, block].squeeze(1), v[known].float())
            else:
                known = given < target.n_outputs
                loss = functional.cross_entropy(
                    scores[known, block], given[known].long(), self.class_weight[block]
                ) / math.log(target.n_outputs)
            if known.any():
                yield f"target_{target.key}_loss", loss
