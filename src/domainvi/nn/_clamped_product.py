"""Product of sparse rows and a matrix in which the values are clamped first, on the CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numba import njit
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Single-precision values in a cache line.
LINE = 16


class ClampedProduct:
    r"""Scores :math:`\sum_g (\mathrm{clamp}(x_g, l_{kg}, h_{kg}) - z_{kg}) F_{kg} + b_k`.

    Parameters
    ----------
    lower, upper, zero
        :math:`l`, :math:`h` and :math:`z = \mathrm{clamp}(0, l, h)`, each ``(n_tables, n_genes)``.
    weights
        :math:`F`, a matrix ``(n_genes, width)`` for each table.
    constant
        :math:`b`, for all tables together.
    """

    def __init__(
        self,
        lower: torch.Tensor,
        upper: torch.Tensor,
        zero: torch.Tensor,
        weights: list[torch.Tensor],
        constant: torch.Tensor,
    ) -> None:
        moved = (zero != 0).any(dim=0)
        # A value between these is the same in all tables, and none of its zeros is clamped.
        low = lower.amax(dim=0).masked_fill(moved, torch.inf)
        bounds = (torch.stack([low, upper.amin(dim=0)]), torch.stack([lower, upper, zero]))
        self.inside, self.clamps = (b.float().numpy() for b in bounds)
        self.ends = np.cumsum([w.shape[1] for w in weights])
        # Rows of the weights begin at a cache line, and are whole numbers of them.
        self.weight = functional.pad(torch.cat(weights, dim=1), (0, -self.width % LINE)).numpy()
        self.constant = functional.pad(constant.float(), (0, -self.width % LINE)).numpy()

    @property
    def width(self) -> int:
        """Number of scores of a row."""
        return int(self.ends[-1])

    def __call__(
        self, row_starts: NDArray[np.integer], columns: NDArray[np.integer], values: torch.Tensor
    ) -> torch.Tensor:
        """Multiply rows in CSR; ``(n_rows, width)``.

        Parameters
        ----------
        row_starts, columns, values
            The parts of a CSR matrix; the values in single precision.
        """
        out = torch.empty(len(row_starts) - 1, len(self.constant))
        # Compiled code looks at the sign of every index, unless it has none.
        unsigned = columns.view(f"u{columns.itemsize}")
        score = partial(
            _score_rows,
            *(row_starts, unsigned, values.numpy(), self.inside, self.clamps),
            *(self.weight, self.constant, self.ends),
            *(np.diff(row_starts).max(initial=0), out.numpy()),
        )
        bounds = np.linspace(0, len(out), torch.get_num_threads() + 1).astype(np.int64)
        parts = list(pairwise(bounds.tolist()))
        if len(parts) == 1:
            score(*parts[0])
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(score, *zip(*parts, strict=True)))
        return out[:, : self.width]


# Not kept on disk, where numba would pickle it: each process compiles it, in 2.4 seconds.
@njit(nogil=True, fastmath={"contract"}, error_model="numpy")
def _score_rows(  # pragma: no cover
    row_starts: NDArray[np.integer],
    columns: NDArray[np.unsignedinteger],
    values: NDArray[np.float32],
    inside: NDArray[np.float32],
    clamps: NDArray[np.float32],
    weight: NDArray[np.float32],
    constant: NDArray[np.float32],
    ends: NDArray[np.int64],
    longest: int,
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Write the scores of rows ``first`` to ``last``, of at most ``longest`` stored values."""
    low, high = inside
    lower, upper, zero = clamps
    clamped = np.empty(longest, dtype=np.float32)
    for i in range(first, last):
        start, stop = row_starts[i], row_starts[i + 1]
        out[i] = constant
        # All columns get the value of the first table, and those of the others what differs.
        for e in range(start, stop):
            g, v = columns[e], values[e]
            c = v
            if not low[g] <= v <= high[g]:
                c = min(max(v, lower[0, g]), upper[0, g]) - zero[0, g]
                for k in range(1, len(ends)):
                    d = min(max(v, lower[k, g]), upper[k, g]) - zero[k, g] - c
                    for j in range(ends[k - 1], ends[k]):
                        out[i, j] += d * weight[g, j]
            clamped[e - start] = c
        e = start
        while e + 8 <= stop:
            at = e - start
            g0, g1, g2, g3 = columns[e], columns[e + 1], columns[e + 2], columns[e + 3]
            g4, g5, g6, g7 = columns[e + 4], columns[e + 5], columns[e + 6], columns[e + 7]
            v0, v1, v2, v3 = clamped[at], clamped[at + 1], clamped[at + 2], clamped[at + 3]
            v4, v5, v6, v7 = clamped[at + 4], clamped[at + 5], clamped[at + 6], clamped[at + 7]
            for j in range(weight.shape[1]):
                out[i, j] += (
                    v0 * weight[g0, j]
                    + v1 * weight[g1, j]
                    + v2 * weight[g2, j]
                    + v3 * weight[g3, j]
                    + v4 * weight[g4, j]
                    + v5 * weight[g5, j]
                    + v6 * weight[g6, j]
                    + v7 * weight[g7, j]
                )
            e += 8
        while e < stop:
            g0, v0 = columns[e], clamped[e - start]
            for j in range(weight.shape[1]):
                out[i, j] += v0 * weight[g0, j]
            e += 1
