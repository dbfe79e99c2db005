"""The independence term: subspaces that know neither each other nor the factors of others."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from domainvi.nn import DomainAdversary, balanced_cross_entropy, one_hot, shared_class_weight

from ._measures import (
    JointDiscriminator,
    cross_covariance,
    hsic,
    shuffle_blocks,
    standardise_columns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INDEPENDENCE = ("adversarial", "covariance", "hsic", "none")
MEASURES = {"covariance": cross_covariance, "hsic": hsic}
# Fewer rows than this say nothing of dependence.
MIN_ROWS = 8


@dataclass(frozen=True)
class Blocks:
    """Which factors the subspaces own, and where independence must be conditional.

    Parameters
    ----------
    sizes
        Units of each subspace, by its name, the residual one included.
    groups
        Subspace that owns each factor.
    n_levels
        Levels of each factor, quarters for a number.
    confounded
        Pairs of factors that are associated, that of the first subspace before the other, the
        strongest first.
    """

    sizes: Mapping[str, int]
    groups: tuple[str, ...]
    n_levels: tuple[int, ...]
    confounded: tuple[tuple[int, int], ...] = ()

    def condition(self, subspace: str, factor: int) -> int | None:
        """Own factor of ``subspace`` within whose levels ``factor`` has to be hidden from it."""
        for pair in self.confounded:
            for own, other in (pair, pair[::-1]):
                if other == factor and self.groups[own] == subspace:
                    return own
        return None

    def shared(self, a: str, b: str) -> int | None:
        """Variable that two subspaces share: they are to be independent within its levels."""
        for own, other in self.confounded:
            if {self.groups[own], self.groups[other]} == {a, b}:
                return own
        return None


class IndependenceTerms(nn.Module):
    r"""Make each subspace forget the others and their factors.

    For subspaces :math:`z_g` and factors :math:`m_k` of other groups,

    * ``"covariance"`` and ``"hsic"``: the mean of ``cross_covariance`` or
      ``hsic`` over all pairs :math:`(z_g, z_h)`, plus its mean over all pairs
      :math:`(z_g, m_k)`;
    * ``"adversarial"``: a ``JointDiscriminator`` of rows against rows with
      shuffled subspaces, plus one :class:`~domainvi.nn.DomainAdversary` for each pair
      :math:`(z_g, m_k)`. With one technical column and no other group the latter is the domain
      adversary of :class:`~domainvi.module.DomainAlignment`, marginal or conditional.

    Where a factor of :math:`g` is confounded with one of :math:`h`, full independence would erase
    both. There the pair is made independent within the levels of that factor instead: shuffled,
    centred or conditioned on it, as the term wants it.

    Latents are standardised over the batch first, so that nothing can be hidden by shrinking it.

    Parameters
    ----------
    kind
        One of the four names.
    blocks
        Subspaces and factors.
    """

    def __init__(self, kind: str, blocks: Blocks) -> None:
        super().__init__()
        self.kind = kind
        self.blocks = blocks
        # A generator of its own: shuffles must not move the noise of the encoder.
        self.shuffles = np.random.default_rng(0)
        self.heads = nn.ModuleDict()
        if kind == "adversarial":
            self.discriminator = JointDiscriminator(sum(blocks.sizes.values()))
            for name, factor in self.foreign():
                own = blocks.condition(name, factor)
                n_strata = 0 if own is None else blocks.n_levels[own]
                self.heads[f"{name}_{factor}"] = DomainAdversary(
                    blocks.sizes[name], blocks.n_levels[factor], n_strata
                )

    def foreign(self) -> list[tuple[str, int]]:
        """Pairs of a subspace and a factor that it should not know."""
        return [
            (name, k)
            for name in self.blocks.sizes
            for k, group in enumerate(self.blocks.groups)
            if group != name
        ]

    def forward(
        self, z: Mapping[str, torch.Tensor], codes: Sequence[torch.Tensor], weight: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the weighted term and what to log of it.

        Parameters
        ----------
        z
            Latents of each subspace, ``(n_rows, n_units)``.
        codes
            Level of each factor, ``(n_rows,)``, -1 where missing.
        weight
            Weight of the term at this step. 0 gives the encoder exactly the gradient of ``"none"``.
        """
        rows = len(codes[0])
        if self.kind == "none" or rows < MIN_ROWS:
            return codes[0].new_zeros((), dtype=torch.float32), {}
        blocks = {name: standardise_columns(block) for name, block in z.items()}
        if self.kind == "adversarial":
            joint = self._joint(blocks, codes, weight)
            hidden = [
                self._hide(blocks[name], name, k, codes, weight) for name, k in self.foreign()
            ]
            loss = joint + torch.stack(hidden).sum()
            return loss, {"independence_loss": loss, "joint_loss": joint}
        between = [
            self._measure(blocks[a], blocks[b], self.blocks.shared(a, b), codes)
            for a, b in combinations(blocks, 2)
        ]
        factors = [self._from_factor(blocks[name], name, k, codes) for name, k in self.foreign()]
        value = torch.stack(between).mean() + torch.stack(factors).mean()
        loss = weight * value
        return loss, {"independence_loss": loss, "dependence": value}

    def _hide(
        self,
        block: torch.Tensor,
        name: str,
        factor: int,
        codes: Sequence[torch.Tensor],
        weight: float,
    ) -> torch.Tensor:
        own = self.blocks.condition(name, factor)
        strata = None if own is None else one_hot(codes[own], self.blocks.n_levels[own])
        head = cast("DomainAdversary", self.heads[f"{name}_{factor}"])
        return hide_factor(head, block, codes[factor], strata, weight)

    def _joint(
        self, blocks: Mapping[str, torch.Tensor], codes: Sequence[torch.Tensor], weight: float
    ) -> torch.Tensor:
        """Discriminator of joint against shuffled, within the strata of all shared variables."""
        shared = {
            s for a, b in combinations(blocks, 2) if (s := self.blocks.shared(a, b)) is not None
        }
        stratum = None
        for factor in sorted(shared):
            # Rows without a value are a stratum of their own.
            own = codes[factor] + 1
            stratum = own if stratum is None else stratum * (self.blocks.n_levels[factor] + 1) + own
        whole = list(blocks.values())
        return self.discriminator(whole, shuffle_blocks(whole, self.shuffles, stratum), weight)

    def _measure(
        self,
        a: torch.Tensor,
        b: torch.Tensor,
        shared: int | None,
        codes: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        return MEASURES[self.kind](a, b, None if shared is None else codes[shared])

    def _from_factor(
        self, block: torch.Tensor, name: str, factor: int, codes: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Dependence of a subspace on a factor, over the rows whose value is known."""
        own = self.blocks.condition(name, factor)
        known = codes[factor] >= 0
        if own is not None:
            known = known & (codes[own] >= 0)
        if known.sum() < MIN_ROWS:
            return block.new_zeros(())
        levels = one_hot(codes[factor][known], self.blocks.n_levels[factor])
        present = levels[:, levels.any(dim=0)]
        return self._measure(block[known], present, own, [c[known] for c in codes])


def hide_factor(
    head: DomainAdversary,
    z: torch.Tensor,
    code: torch.Tensor,
    strata: torch.Tensor | None,
    weight: float,
) -> torch.Tensor:
    """Loss of an adversarial head for one factor, over the rows whose value is known.

    Parameters
    ----------
    head
        A :class:`~domainvi.nn.DomainAdversary`, conditional if there are strata.
    z
        Latents, shape ``(n_rows, n_units)``.
    code
        Levels, shape ``(n_rows,)``, -1 where missing.
    strata
        One-hot levels of the conditioning factor, ``(n_rows, n_strata)``, or ``None``. Strata in
        which the batch has one level only take no part.
    weight
        Weight of the adversary.
    """
    row_weight = (code >= 0).float()
    if strata is None:
        strata = z.new_zeros(len(z), 0)
    else:
        support = one_hot(code, head.n_domains).T @ strata > 0
        row_weight = row_weight * shared_class_weight(strata, support)
    return balanced_cross_entropy(head(z, strata, weight), code.clamp_min(0), row_weight)
