"""Independence: measures of it between blocks of latents, and the term of the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from domainvi.nn import (
    DomainAdversary,
    balanced_cross_entropy,
    one_hot,
    reverse_gradient,
    shared_class_weight,
    standardise_columns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INDEPENDENCE = ("adversarial", "covariance", "hsic", "none")
# Fewer rows than this say nothing of dependence.
MIN_ROWS = 8
EPSILON = 1e-6
# Width of the two hidden layers of the discriminator.
N_HIDDEN = 64


def strata_of(stratum: torch.Tensor | None, x: torch.Tensor) -> list[torch.Tensor]:
    """Row numbers of each stratum; all rows of ``x`` when there are no strata."""
    if stratum is None:
        return [torch.arange(len(x), device=x.device)]
    return [torch.nonzero(stratum == code).squeeze(1) for code in torch.unique(stratum)]


def cross_covariance(
    a: torch.Tensor, b: torch.Tensor, stratum: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Mean squared correlation between the columns of two blocks of shapes ``(n_rows, d)``.

    .. math:: \frac{1}{d_a d_b} \bigl\lVert \tilde a^\top \tilde b / n \bigr\rVert_F^2

    with standardised columns :math:`\tilde a, \tilde b`: between 0 and 1 whatever the sizes of the
    blocks and the scale of their columns, so that one weight serves all. With strata the columns
    are centred within them, which makes the correlations partial.
    """
    correlation = standardise_columns(a, stratum).T @ standardise_columns(b, stratum) / len(a)
    return correlation.square().mean()


def hsic(a: torch.Tensor, b: torch.Tensor, stratum: torch.Tensor | None = None) -> torch.Tensor:
    r"""Hilbert-Schmidt independence criterion with Gaussian kernels, normalised.

    .. math:: \frac{\mathrm{tr}(\bar K \bar L)}
                   {\sqrt{\mathrm{tr}(\bar K \bar K)\, \mathrm{tr}(\bar L \bar L)}}

    with doubly centred kernel matrices :math:`\bar K, \bar L` of the blocks (Gretton et al., ALT
    2005; normalised as in Cortes et al., JMLR 2012), between 0 and 1, and 0 when the rows hold
    every value of one block with every value of the other. The bandwidth is the median distance
    within strata and a constant to the gradient. With strata, numerator and denominator are summed
    over them.
    """
    if stratum is None:
        stratum = a.new_zeros(len(a))
    same = stratum[:, None] == stratum
    k, m = centred_kernel(a, same), centred_kernel(b, same)
    return (k * m).sum() / (k.square().sum() * m.square().sum() + EPSILON**2).sqrt()


def centred_kernel(x: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """Gaussian kernel matrix of rows, doubly centred within the strata that two rows share."""
    gram = x @ x.T
    norms = gram.diagonal()
    squared = (norms[:, None] + norms[None, :] - 2 * gram).clamp_min(0.0)
    apart = squared.detach()[same & (squared.detach() > EPSILON)]
    width = apart.median() if apart.numel() else squared.new_ones(())
    kernel = torch.exp(-squared / width) * same
    mean = (same / same.sum(dim=0)).to(kernel.dtype)
    kernel = kernel - mean @ kernel
    return kernel - kernel @ mean


def shuffle_blocks(
    blocks: Sequence[torch.Tensor],
    generator: np.random.Generator,
    stratum: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """Permute the rows of every block but the first on its own, within strata where given."""
    out = [blocks[0]]
    for block in blocks[1:]:
        shuffled = block.clone()
        for rows in strata_of(stratum, block):
            order = torch.from_numpy(generator.permutation(len(rows))).to(block.device)
            shuffled[rows] = block[rows[order]]
        out.append(shuffled)
    return out


class JointDiscriminator(nn.Module):
    r"""Tell rows of the blocks as they are from rows whose blocks were shuffled.

    At its optimum the discriminator is at chance if and only if the blocks are independent (the
    adversarially learnt penalty of MFD; Rakowski et al., Bioinformatics 2024). With cross-entropy
    :math:`H` the dependence is :math:`\log 2 - H`, a lower bound of the Jensen-Shannon divergence
    of joint and product, which the discriminator raises and, by gradient reversal, the encoder
    lowers. ``n_latent`` is the total width of the blocks.
    """

    def __init__(self, n_latent: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(n_latent, N_HIDDEN),
            nn.LeakyReLU(0.2),
            nn.Linear(N_HIDDEN, N_HIDDEN),
            nn.LeakyReLU(0.2),
            nn.Linear(N_HIDDEN, 1),
        )

    def forward(
        self, blocks: Sequence[torch.Tensor], shuffled: Sequence[torch.Tensor], reversal: float
    ) -> torch.Tensor:
        r"""Return the cross-entropy less :math:`\log 2`, to be minimised; 0 at chance.

        The gradient to the blocks is multiplied by ``-reversal``.
        """
        joint, product = (torch.cat(list(b), dim=1) for b in (blocks, shuffled))
        rows = reverse_gradient(torch.cat([joint, product]), reversal)
        is_joint = torch.cat([joint.new_ones(len(joint)), joint.new_zeros(len(product))])
        scores = self.network(rows).squeeze(1)
        return functional.binary_cross_entropy_with_logits(scores, is_joint) - math.log(2)


MEASURES = {"covariance": cross_covariance, "hsic": hsic}


@dataclass(frozen=True)
class Blocks:
    """Which factors the subspaces own, and where independence is conditional."""

    # Units of each subspace, the residual one included.
    sizes: Mapping[str, int]
    # Subspace that owns each factor, and levels of each factor, quarters for a number.
    groups: tuple[str, ...]
    n_levels: tuple[int, ...]
    # Pairs of associated factors, that of the first subspace first; the strongest pair first.
    confounded: tuple[tuple[int, int], ...] = ()

    def condition(self, subspace: str, factor: int) -> int | None:
        """Own factor of ``subspace`` within whose levels ``factor`` has to be hidden from it."""
        pairs = [pair for ab in self.confounded for pair in (ab, ab[::-1])]
        found = (a for a, b in pairs if b == factor and self.groups[a] == subspace)
        return next(found, None)

    def shared(self, a: str, b: str) -> int | None:
        """Variable that two subspaces share: they are to be independent within its levels."""
        found = (i for i, j in self.confounded if {self.groups[i], self.groups[j]} == {a, b})
        return next(found, None)


class IndependenceTerms(nn.Module):
    r"""Make each subspace forget the others and their factors.

    For subspaces :math:`z_g` and factors :math:`m_k` of other groups,

    * ``"hsic"`` and ``"covariance"``: the mean of ``hsic`` or ``cross_covariance``
      over all pairs :math:`(z_g, z_h)`, plus its mean over all pairs :math:`(z_g, m_k)`.
      HSIC takes these pairs within the levels of :math:`g`'s own first factor. Over all rows the
      bandwidth is the distance between these levels, and a kernel so wide does not see a foreign
      factor that moves rows by less within each;
    * ``"adversarial"``: a ``JointDiscriminator`` of rows against rows with
      shuffled subspaces, plus one :class:`~domainvi.nn.DomainAdversary` for each pair
      :math:`(z_g, m_k)`, conditional where they are confounded.

    Where a factor of :math:`g` is confounded with one of :math:`h`, full independence would erase
    both. There the pair is made independent within the levels of that factor instead: shuffled,
    centred or conditioned on it, as the term wants it. Where a level is missing, the one that the
    factor's head predicts stands in.

    Latents are standardised over the batch first, so that nothing can be hidden by shrinking it.
    """

    def __init__(self, kind: str, blocks: Blocks) -> None:
        super().__init__()
        self.kind = kind
        self.blocks = blocks
        # A generator of its own: shuffles must not move the noise of the encoder.
        self.shuffles = np.random.default_rng(0)
        # Pairs of a subspace and a factor that it should not know.
        factors = list(enumerate(blocks.groups))
        self.foreign = [(s, k) for s in blocks.sizes for k, group in factors if group != s]
        self.heads = nn.ModuleDict()
        if kind == "adversarial":
            self.discriminator = JointDiscriminator(sum(blocks.sizes.values()))
            for name, factor in self.foreign:
                own = blocks.condition(name, factor)
                n_strata = 0 if own is None else blocks.n_levels[own]
                self.heads[f"{name}_{factor}"] = DomainAdversary(
                    blocks.sizes[name], blocks.n_levels[factor], n_strata
                )

    def forward(
        self,
        z: Mapping[str, torch.Tensor],
        codes: Sequence[torch.Tensor],
        strata: Sequence[torch.Tensor],
        weight: float,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the weighted term and what to log of it.

        ``codes`` are levels of each factor, -1 where missing, and ``strata`` the same with what is
        predicted there. A weight of 0 gives the encoder exactly the gradient of ``"none"``.
        """
        if self.kind == "none" or len(codes[0]) < MIN_ROWS:
            return codes[0].new_zeros((), dtype=torch.float32), {}
        blocks = {name: standardise_columns(block) for name, block in z.items()}
        if self.kind == "adversarial":
            joint = self._joint(blocks, strata, weight)
            hidden = []
            for name, k in self.foreign:
                own = self.blocks.condition(name, k)
                given = None if own is None else one_hot(strata[own], self.blocks.n_levels[own])
                head = cast("DomainAdversary", self.heads[f"{name}_{k}"])
                hidden.append(hide_factor(head, blocks[name], codes[k], given, weight))
            loss = joint + torch.stack(hidden).sum()
            return loss, {"independence_loss": loss, "joint_loss": joint}
        between = []
        for a, b in combinations(blocks, 2):
            shared = self.blocks.shared(a, b)
            stratum = None if shared is None else strata[shared]
            between.append(MEASURES[self.kind](blocks[a], blocks[b], stratum))
        factors = [
            self._from_factor(blocks[name], name, k, codes[k], strata) for name, k in self.foreign
        ]
        value = torch.stack(between).mean() + torch.stack(factors).mean()
        loss = weight * value
        return loss, {"independence_loss": loss, "dependence": value}

    def _joint(
        self, blocks: Mapping[str, torch.Tensor], strata: Sequence[torch.Tensor], weight: float
    ) -> torch.Tensor:
        """Discriminator of joint against shuffled, within the strata of all shared variables."""
        found = {self.blocks.shared(a, b) for a, b in combinations(blocks, 2)}
        whole, stratum = list(blocks.values()), self._cells(found, strata)
        return self.discriminator(whole, shuffle_blocks(whole, self.shuffles, stratum), weight)

    def _cells(
        self, factors: set[int | None], strata: Sequence[torch.Tensor]
    ) -> torch.Tensor | None:
        """Cells that the levels of some factors make; ``None`` without factors."""
        cell = None
        for factor in sorted(factor for factor in factors if factor is not None):
            own = strata[factor]
            cell = own if cell is None else cell * self.blocks.n_levels[factor] + own
        return cell

    def _from_factor(
        self,
        block: torch.Tensor,
        name: str,
        factor: int,
        code: torch.Tensor,
        strata: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Dependence of a subspace on a factor, over the rows whose value is known."""
        known, own = code >= 0, {self.blocks.condition(name, factor)}
        if known.sum() < MIN_ROWS:
            return block.new_zeros(())
        if self.kind == "hsic" and name in self.blocks.groups:
            own.add(self.blocks.groups.index(name))
        stratum = self._cells(own, [s[known] for s in strata])
        levels = one_hot(code[known], self.blocks.n_levels[factor])
        present = levels[:, levels.any(dim=0)]
        return MEASURES[self.kind](block[known], present, stratum)


def hide_factor(
    head: DomainAdversary,
    z: torch.Tensor,
    code: torch.Tensor,
    strata: torch.Tensor | None,
    weight: float,
) -> torch.Tensor:
    """Loss of an adversarial head for one factor, over the rows whose value is known.

    ``strata`` are one-hot levels of the factor that the head is conditioned on. Strata in which the
    batch has one level only take no part.
    """
    row_weight = (code >= 0).float()
    if strata is None:
        strata = z.new_zeros(len(z), 0)
    else:
        support = one_hot(code, head.n_domains).T @ strata > 0
        row_weight = row_weight * shared_class_weight(strata, support)
    return balanced_cross_entropy(head(z, strata, weight), code.clamp_min(0), row_weight)
