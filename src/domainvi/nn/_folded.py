"""Linear maps of standardised rows, with the standardisation of one domain folded into them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch

from ._standardise import CLIP

# Values of a dense block of rows: 4 MB in single precision, so that it stays in the cache.
BLOCK_VALUES = 2**20


@dataclass(frozen=True)
class InputMap:
    r"""Scores :math:`\mathrm{clip}((x - c_d) / s_d)^\top W + b` of rows of domain :math:`d`.

    Parameters
    ----------
    centre, scale
        By domain, each ``(n_domains, n_input)``.
    weight, bias
        ``(n_input, width)`` and ``(width,)``.
    """

    centre: torch.Tensor
    scale: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor


class FoldedMaps:
    r"""Several input maps of the rows of one domain, read in one go.

    A value :math:`x` within the clipping bounds adds :math:`x W / s` to the scores, on top of a
    constant, which is what a row of zeros gets. So the scores of sparse rows are one sparse
    product, for all maps together. Values beyond the bounds are left out of it and added by
    themselves, and genes whose zeros are clipped are read densely, so that the result is that of
    :class:`InputMap` up to rounding.

    Parameters
    ----------
    maps
        The maps.
    domain
        Code of the domain.
    """

    def __init__(self, maps: list[InputMap], domain: int) -> None:
        tables: list[tuple[torch.Tensor, torch.Tensor]] = []
        table_of = [_find(tables, m.centre[domain], m.scale[domain]) for m in maps]
        # Maps that standardise alike stand together, and are read together.
        self.order = sorted(range(len(maps)), key=lambda i: table_of[i])
        self.widths = [maps[i].weight.shape[1] for i in self.order]
        self.bias = torch.cat([maps[i].bias for i in self.order])
        self.centre, self.scale = (torch.stack(t) for t in zip(*tables, strict=True))
        self.weights = [
            torch.cat([m.weight for m, t in zip(maps, table_of, strict=True) if t == k], dim=1)
            for k in range(len(tables))
        ]
        low = (self.centre - CLIP * self.scale).amax(dim=0)
        high = (self.centre + CLIP * self.scale).amin(dim=0)
        clipped = (low > 0) | (high < 0)
        self.clipped_genes = clipped.nonzero().squeeze(1)
        # Those genes are read densely: the sparse part leaves them alone.
        self.low = low.masked_fill(clipped, -torch.inf)
        self.high = high.masked_fill(clipped, torch.inf)
        self._fold((~clipped).double()[:, None])

    def _fold(self, kept: torch.Tensor) -> None:
        folded = [
            w.double() * kept / s.double()[:, None]
            for w, s in zip(self.weights, self.scale, strict=True)
        ]
        constant = [-(c.double() @ f) for c, f in zip(self.centre, folded, strict=True)]
        self.folded = torch.cat(folded, dim=1).float()
        self.constant = (torch.cat(constant) + self.bias.double()).float()

    def dense(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Read log values ``(n_rows, n_input)``; one tensor of scores a map."""
        every = slice(None)
        parts = [
            torch.cat([self._standardised(b, k, every) @ w for k, w in enumerate(self.weights)], 1)
            for b in torch.split(x, max(1, BLOCK_VALUES // x.shape[1]))
        ]
        return self._by_map(torch.cat(parts) + self.bias)

    def sparse(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Read log values in CSR, ``(n_rows, n_input)``; one tensor of scores a map."""
        outside = self._outside(x)
        inside = _with_values(x, x.values().masked_fill(outside, 0.0))
        scores = torch.addmm(self.constant.expand(len(x), -1), inside, self.folded)
        parts = torch.split(scores, [w.shape[1] for w in self.weights], dim=1)
        clipped = _entries(x, outside.nonzero().squeeze(1))
        genes = clipped.col_indices()
        for k, (part, weight) in enumerate(zip(parts, self.weights, strict=True)):
            centre, scale = self.centre[k][genes], self.scale[k][genes]
            s = ((clipped.values() - centre) / scale).clamp_(-CLIP, CLIP)
            # The constant holds what these genes would add if they were zero.
            part += _with_values(clipped, s + centre / scale) @ weight
        if len(self.clipped_genes):
            genes = self.clipped_genes
            rows = _columns(x, genes)
            for k, (part, weight) in enumerate(zip(parts, self.weights, strict=True)):
                part += self._standardised(rows, k, genes) @ weight[genes]
        return self._by_map(scores)

    def _outside(self, x: torch.Tensor) -> torch.Tensor:
        """Whether some map clips each stored value."""
        values, genes = x.values(), x.col_indices()
        outside = values > self.high.index_select(0, genes)
        if len(values) and values.min() < 0:
            outside |= values < self.low.index_select(0, genes)
        return outside

    def _standardised(self, x: torch.Tensor, k: int, genes: slice | torch.Tensor) -> torch.Tensor:
        return ((x - self.centre[k][genes]).div_(self.scale[k][genes])).clamp_(-CLIP, CLIP)

    def _by_map(self, scores: torch.Tensor) -> list[torch.Tensor]:
        parts = dict(zip(self.order, torch.split(scores, self.widths, dim=1), strict=True))
        return [parts[i] for i in range(len(parts))]


def _find(
    tables: list[tuple[torch.Tensor, torch.Tensor]], centre: torch.Tensor, scale: torch.Tensor
) -> int:
    """Place of a table in a list, to which it is added when it is new."""
    for k, (c, s) in enumerate(tables):
        if torch.equal(c, centre) and torch.equal(s, scale):
            return k
    tables.append((centre, scale))
    return len(tables) - 1


def csr_tensor(
    row_starts: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, n_columns: int
) -> torch.Tensor:
    """CSR tensor that shares its parts; they are not checked."""
    size = (len(row_starts) - 1, n_columns)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(row_starts, columns, values, size, check_invariants=False)


def _entries(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Keep some stored entries of a CSR tensor, given by their sorted places."""
    starts = torch.searchsorted(places, x.crow_indices().to(places.dtype))
    kind = x.col_indices().dtype
    return csr_tensor(starts.to(kind), x.col_indices()[places], x.values()[places], x.shape[1])


def _with_values(x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape[1])


def _columns(x: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Dense copy of some columns of a CSR tensor."""
    place = torch.full((x.shape[1],), -1, device=x.device)
    place[columns] = torch.arange(len(columns), device=x.device)
    wanted = (place[x.col_indices()] >= 0).nonzero().squeeze(1)
    part = _entries(x, wanted)
    starts = part.crow_indices()
    rows = torch.repeat_interleave(torch.arange(len(x), device=x.device), starts.diff().long())
    out = x.values().new_zeros(len(x), len(columns))
    out[rows, place[part.col_indices()]] = part.values()
    return out
