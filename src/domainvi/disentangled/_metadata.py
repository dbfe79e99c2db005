"""Metadata: units that levels own, values of a batch of rows, and loadings that they modulate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from domainvi.errors import InputError
from domainvi.nn import balanced_cross_entropy, one_hot

from ._factors import RESIDUAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._factors import Factor

# Width of the embedding of metadata that stretches units.
N_EMBEDDING = 8


def metadata_columns(factors: Sequence[Factor], group: str) -> dict[str, range]:
    """Columns that each factor of a group takes in the metadata of the group."""
    out, start = {}, 0
    for factor in factors:
        if factor.group == group:
            out[factor.name] = range(start, start + factor.width)
            start += factor.width
    return out


def expected_metadata(
    factors: Sequence[Factor], values: torch.Tensor, scores: Sequence[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Metadata of each group: what is known, and the heads' expectation of what is not.

    ``values`` are codes and numbers, NaN where missing, ``(n_rows, n_factors)``. ``scores``, of
    each factor its logits or its number, are constants here.
    """
    out: dict[str, list[torch.Tensor]] = {f.group: [] for f in factors}
    for factor, column, scored in zip(factors, values.split(1, dim=1), scores, strict=True):
        known, expected = torch.isfinite(column), scored.detach()
        value = column.where(known, 0.0)
        if not factor.is_numeric:
            expected = functional.softmax(expected, dim=1)
            value = one_hot(value.squeeze(1).long(), factor.width)
        out[factor.group].append(torch.where(known, value, expected))
    return {group: torch.cat(parts, dim=1) for group, parts in out.items()}


def factor_codes(factors: Sequence[Factor], values: torch.Tensor) -> list[torch.Tensor]:
    """Level of each factor, quarter of a number, -1 where missing."""
    out = []
    for factor, column in zip(factors, values.unbind(dim=1), strict=True):
        known = torch.isfinite(column)
        value = column.where(known, 0.0)
        if factor.is_numeric:
            value = torch.bucketize(value, value.new_tensor(factor.cuts), right=True)
        out.append(value.long().where(known, -1))
    return out


def complete_values(
    factors: Sequence[Factor], values: torch.Tensor, scores: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Codes and numbers that are known, and elsewhere those that the heads predict."""
    pairs = zip(factors, scores, strict=True)
    predicted = [s[:, 0] if f.is_numeric else s.argmax(dim=1).float() for f, s in pairs]
    return values.where(torch.isfinite(values), torch.stack(predicted, dim=1).detach())


def factor_losses(
    factors: Sequence[Factor], scores: Sequence[torch.Tensor], values: torch.Tensor
) -> list[torch.Tensor]:
    """Loss of each factor over the rows whose value is known; 0 when there are none."""
    out = []
    for factor, score, column in zip(factors, scores, values.unbind(dim=1), strict=True):
        known = torch.isfinite(column)
        if not known.any():
            out.append(score.new_zeros(()))
        elif factor.is_numeric:
            out.append(0.5 * functional.mse_loss(score[known, 0], column[known]))
        else:
            out.append(balanced_cross_entropy(score[known], column[known].long()))
    return out


def subspace_sizes(factors: Sequence[Factor], n_latent: int, n_residual: int) -> dict[str, int]:
    """Units of each subspace: the groups share what the residual one leaves."""
    groups = list(dict.fromkeys(f.group for f in factors))
    share, rest = divmod(n_latent - n_residual, len(groups))
    if n_residual < 0 or share < 1:
        msg = (
            f"n_latent={n_latent} and n_residual={n_residual} leave {n_latent - n_residual} units "
            f"for {len(groups)} groups; each needs one or more."
        )
        raise InputError(msg)
    sizes = {group: share + (i < rest) for i, group in enumerate(groups)}
    return sizes | ({RESIDUAL: n_residual} if n_residual else {})


def direct_levels(
    factors: Sequence[Factor], sizes: Mapping[str, int], direct: Sequence[str] | None
) -> list[str]:
    """Name the factors whose levels own a unit; check that there are units enough.

    By default these are factors in their order, as long as half of the subspace is left to others.
    """
    with_levels = [f for f in factors if not f.is_numeric]
    if direct is None:
        left = {group: size // 2 for group, size in sizes.items()}
        chosen = []
        for f in with_levels:
            if f.width <= left[f.group]:
                left[f.group] -= f.width
                chosen.append(f.name)
        return chosen
    if unknown := [name for name in direct if name not in [f.name for f in with_levels]]:
        msg = f"direct_factors names {unknown[0]!r}, which is not a factor with levels."
        raise InputError(msg)
    for group, size in sizes.items():
        asked = sum(f.width for f in factors if f.group == group and f.name in direct)
        if asked > size:
            msg = (
                f"direct_factors ask for {asked} units in group {group!r}, one a level, and it "
                f"has {size}. Raise n_latent, or let factors with many levels interact."
            )
            raise InputError(msg)
    return list(direct)


class ModulatedLoadings(nn.Module):
    r"""Contribution of one subspace to the scores of the genes.

    .. math:: c_i = U \bigl( g(m_i) \odot z_i \bigr), \qquad
              g(m) = \bigl[\, m_{\text{direct}},\; 1 + B\,\phi(A m) \,\bigr]

    with loadings :math:`U` of shape ``(n_output, n_units)``. The first units are *direct*: each
    belongs to one level of one factor and counts only in rows of that level, so that it can be
    read, ablated or exchanged. The others *interact*: an embedding of all the metadata of the group
    stretches them. Loadings of a row are :math:`U\,\mathrm{diag}(g(m_i))`, so that no matrix of
    genes by units is ever made for a row. The form is that of the output layer of MFD (Rakowski et
    al., Bioinformatics 2024), with expression for tracks and rows for windows.

    Parameters
    ----------
    n_units
        Units of the subspace.
    n_output
        Genes.
    n_metadata
        Width of the metadata of the group: one column a level, one for a number.
    direct
        Columns of the metadata that own a unit, in the order of the units.
    """

    direct: torch.Tensor

    def __init__(
        self, n_units: int, n_output: int, n_metadata: int = 0, direct: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        self.register_buffer("direct", torch.tensor(direct, dtype=torch.long))
        self.weight = nn.Parameter(torch.empty(n_output, n_units))
        nn.init.normal_(self.weight, std=n_units**-0.5)
        self.embedding: nn.Sequential | None = None
        n_interacting = n_units - len(direct)
        if n_metadata and n_interacting:
            last = nn.Linear(N_EMBEDDING, n_interacting)
            # Every row starts with the same loadings.
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.embedding = nn.Sequential(nn.Linear(n_metadata, N_EMBEDDING), nn.GELU(), last)

    def forward(
        self, z: torch.Tensor, metadata: torch.Tensor, genes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the contribution to all genes, or to those numbered, ``(n_rows, n_genes)``."""
        weight = self.weight if genes is None else self.weight[genes]
        stretch = metadata.new_ones(len(metadata), weight.shape[1] - len(self.direct))
        if self.embedding is not None:
            stretch = 1 + self.embedding(metadata)
        gain = torch.cat([metadata[:, self.direct], stretch], dim=1)
        return functional.linear(z * gain, weight)
