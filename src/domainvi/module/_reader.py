"""Embeddings of many rows at once: blocks of one domain, sparse ones as they are."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from domainvi.data import dense_rows
from domainvi.nn import FoldedMaps

from ._ensemble import OPTIONAL_PARTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._ensemble import Embedding, EnsembleModule, ScalingTables

# Values of folded maps that are kept for the next block: 128 MB in single precision.
KEPT_VALUES = 2**25
# Values that are standardised at once for the further phenotypes.
TARGET_VALUES = 2**22


class RowReader:
    """Embed blocks of rows of one domain, as :meth:`EnsembleModule.embed` does, but faster.

    Parameters
    ----------
    module
        A module in evaluation mode.
    tables
        Centre and scale in place of the stored ones.
    wanted
        Those of :data:`OPTIONAL_PARTS` that embeddings are to have; others are empty.
    """

    def __init__(
        self,
        module: EnsembleModule,
        tables: ScalingTables | None = None,
        *,
        wanted: tuple[str, ...] = OPTIONAL_PARTS,
    ) -> None:
        self.module, self.tables, self.device = module, tables, module.device
        maps = module.input_maps(tables)
        self.wanted, self.maps = wanted, maps if "reference" in wanted else maps[:-1]
        width = sum(m.weight.shape[1] for m in self.maps)
        n_kept = max(1, KEPT_VALUES // (width * module.n_input))
        self.folded = lru_cache(maxsize=n_kept)(lambda domain: FoldedMaps(self.maps, domain))

    def embed(self, block: Any, domain: int, size_factor: NDArray | None = None) -> Embedding:
        """Embed rows of one domain.

        Parameters
        ----------
        block
            Values as they are stored, ``(n_rows, n_input)``: an array or CSR.
        domain
            Code of the domain.
        size_factor
            Size factors, ``(n_rows, 1)``; row sums if ``None``.
        """
        device = self.device
        factor = None if size_factor is None else torch.from_numpy(_single(size_factor)).to(device)
        if not sparse.issparse(block) or device.type != "cpu":
            x = torch.from_numpy(_single(dense_rows(block, slice(None)))).to(device)
            u = self.module.log_values(x, self.module.library_size(x, factor))
            return self.module.embed_scores(self.folded(domain).dense(u), self.wanted)
        x = torch.from_numpy(_single(block.data))
        if self.module.counts:
            sums = torch.from_numpy(_single(block.sum(axis=1)).reshape(-1, 1))
            library = sums if factor is None else self.module.library_size(sums, factor)
            x = self.module.log_values(x, library, torch.from_numpy(np.diff(block.indptr)))
        scores = self.folded(domain).sparse(block.indptr, block.indices, x)
        return self.module.embed_scores(scores, self.wanted)

    def score_targets(
        self, mean: torch.Tensor, block: Any, domain: int, size_factor: NDArray | None = None
    ) -> list[torch.Tensor]:
        """Raw scores of the further phenotypes, by network and by linear members.

        Parameters
        ----------
        mean
            Latents of the rows, as :meth:`embed` gives them.
        block, domain, size_factor
            As for :meth:`embed`.
        """
        parts = []
        n_rows = max(1, TARGET_VALUES // block.shape[1])
        for start in range(0, block.shape[0], n_rows):
            some = slice(start, start + n_rows)
            x = torch.from_numpy(_single(dense_rows(block, some)))
            factor = None if size_factor is None else torch.from_numpy(_single(size_factor[some]))
            code = torch.full((len(x), 1), domain)
            parts.append(self.module.score_targets(mean[some], x, code, factor, self.tables))
        return [torch.cat(scores) for scores in zip(*parts, strict=True)]


def _single(values: Any) -> NDArray[np.float32]:
    """Array in single precision that torch may look at."""
    out = np.asarray(values, dtype=np.float32)
    return out if out.flags.writeable else out.copy()
