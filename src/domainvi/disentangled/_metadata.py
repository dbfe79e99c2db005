"""Metadata of a batch of rows, and the loadings of genes that they modulate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from domainvi.nn import balanced_cross_entropy, one_hot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._factors import Factor

# Width of the embedding of metadata that stretches units.
N_EMBEDDING = 8


def direct_columns(factors: Sequence[Factor], group: str, direct: Sequence[str]) -> tuple[int, ...]:
    """Columns of a group's metadata whose level owns a unit."""
    out: list[int] = []
    start = 0
    for factor in factors:
        if factor.group != group:
            continue
        if factor.name in direct:
            out += range(start, start + factor.width)
        start += factor.width
    return tuple(out)


def expected_metadata(
    factors: Sequence[Factor], values: torch.Tensor, scores: Sequence[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Metadata of each group: what is known, and the heads' expectation of what is not.

    ``values`` are codes and numbers, NaN where missing, ``(n_rows, n_factors)``. ``scores``, of
    each factor its logits or its number, are constants here.
    """
    out: dict[str, list[torch.Tensor]] = {f.group: [] for f in factors}
    for k, factor in enumerate(factors):
        known = torch.isfinite(values[:, k])
        value = torch.where(known, values[:, k], 0.0)
        score = scores[k].detach()
        if factor.is_numeric:
            part = torch.where(known[:, None], value[:, None], score)
        else:
            level = one_hot(value.long(), factor.width)
            part = torch.where(known[:, None], level, functional.softmax(score, dim=1))
        out[factor.group].append(part)
    return {group: torch.cat(parts, dim=1) for group, parts in out.items()}


def factor_codes(factors: Sequence[Factor], values: torch.Tensor) -> list[torch.Tensor]:
    """Level of each factor, quarter of a number, -1 where missing."""
    out = []
    for k, factor in enumerate(factors):
        known = torch.isfinite(values[:, k])
        value = torch.where(known, values[:, k], 0.0)
        if factor.is_numeric:
            value = torch.bucketize(value, value.new_tensor(factor.cuts), right=True)
        out.append(torch.where(known, value.long(), -1))
    return out


def factor_losses(
    factors: Sequence[Factor], scores: Sequence[torch.Tensor], values: torch.Tensor
) -> list[torch.Tensor]:
    """Loss of each factor over the rows whose value is known; 0 when there are none."""
    out = []
    for k, factor in enumerate(factors):
        known = torch.isfinite(values[:, k])
        value = values[known, k]
        if not known.any():
            out.append(scores[k].new_zeros(()))
        elif factor.is_numeric:
            out.append(0.5 * functional.mse_loss(scores[k][known, 0], value))
        else:
            out.append(balanced_cross_entropy(scores[k][known], value.long()))
    return out


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
        self,
        n_units: int,
        n_output: int,
        n_metadata: int = 0,
        direct: tuple[int, ...] = (),
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

    def gain(self, metadata: torch.Tensor) -> torch.Tensor:
        """Factor of each unit in each row, ``(n_rows, n_units)``."""
        switches = metadata[:, self.direct]
        if self.embedding is None:
            n_rest = self.weight.shape[1] - len(self.direct)
            return torch.cat([switches, metadata.new_ones(len(metadata), n_rest)], dim=1)
        return torch.cat([switches, 1 + self.embedding(metadata)], dim=1)

    def forward(
        self, z: torch.Tensor, metadata: torch.Tensor, genes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the contribution to all genes, or to those numbered, ``(n_rows, n_genes)``."""
        weight = self.weight if genes is None else self.weight[genes]
        return functional.linear(z * self.gain(metadata), weight)
