"""Linear maps of standardised rows, with the standardisation of one domain folded into them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from ._clamped_product import ClampedProduct
from ._standardise import CLIP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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

    With bounds :math:`l = c - 8 s` and :math:`h = c + 8 s`, a value :math:`x` adds
    :math:`(\mathrm{clamp}(x, l, h) - \mathrm{clamp}(0, l, h)) W / s` to the scores, on top of a
    constant, which is what a row of zeros gets. So only stored values cost anything, for all maps
    together, and the result is that of :class:`InputMap` up to rounding.

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

    @cached_property
    def _product(self) -> ClampedProduct:
        centre, scale = self.centre.double(), self.scale.double()
        lower, upper = centre - CLIP * scale, centre + CLIP * scale
        zero = torch.zeros_like(centre).clamp(lower, upper)
        folded = [w.double() / s[:, None] for w, s in zip(self.weights, scale, strict=True)]
        constant = torch.cat([(z - c) @ f for z, c, f in zip(zero, centre, folded, strict=True)])
        return ClampedProduct(
            lower, upper, zero, [f.float() for f in folded], constant + self.bias.double()
        )

    def dense(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Read log values ``(n_rows, n_input)``; one tensor of scores a map."""
        parts = [
            torch.cat([self._standardised(b, k) @ w for k, w in enumerate(self.weights)], dim=1)
            for b in torch.split(x, max(1, BLOCK_VALUES // x.shape[1]))
        ]
        return self._by_map(torch.cat(parts) + self.bias)

    def sparse(
        self, row_starts: NDArray[np.integer], columns: NDArray[np.integer], values: torch.Tensor
    ) -> list[torch.Tensor]:
        """Read log values in CSR, on the CPU; one tensor of scores a map."""
        return self._by_map(self._product(row_starts, columns, values))

    def _standardised(self, x: torch.Tensor, k: int) -> torch.Tensor:
        return ((x - self.centre[k]).div_(self.scale[k])).clamp_(-CLIP, CLIP)

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
