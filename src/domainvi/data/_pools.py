"""Batches from rows on disk: blocks in random order, mixed in a pool, batches drawn from it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scvi import REGISTRY_KEYS
from torch.utils.data import IterableDataset

from ._rows import dense_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ._disk import DiskMatrix
    from ._rows import PreparedRows

    Pool = tuple[NDArray[np.int64], Any]

# Neighbouring rows that are read together.
BLOCK_ROWS = 128
# A pool has this many rows, or fewer when they are long: 256 MB if they were dense.
POOL_ROWS = 16_384
POOL_VALUES = 2**26
# Labelled rows that are always at hand, so that no class is missing from a pool.
KEPT_LABELLED = 4_096


def cumulative(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum weights up, to 1 in the end; all zero without any."""
    total = weight.cumsum()
    return total / total[-1] if len(total) and total[-1] else total


def draw(total: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``n`` places with weights whose running sum is ``total``, as ``rng.choice`` does."""
    return total.searchsorted(rng.random(n), side="right")


def file_pools(
    matrix: DiskMatrix, rows: NDArray[np.int64], n_pool: int, rng: np.random.Generator
) -> Iterator[Pool]:
    """Read pools of rows without end; each pass over the rows takes their blocks in a new order."""
    block = min(BLOCK_ROWS, n_pool)
    blocks = np.split(np.sort(rows), range(block, len(rows), block))
    while True:
        order = rng.permutation(len(blocks))
        for some in np.split(order, range(n_pool // block, len(order), n_pool // block)):
            parts = [blocks[i] for i in some]
            yield np.concatenate(parts), stacked([matrix[part] for part in parts])


def annbatch_pools(
    matrix: DiskMatrix, rows: NDArray[np.int64], n_pool: int, rng: np.random.Generator
) -> Iterator[Pool]:
    """As :func:`file_pools` for a zarr store, read by annbatch with its parallel reads."""
    from annbatch import Loader

    block = min(BLOCK_ROWS, n_pool)
    wanted = np.zeros(matrix.shape[0], dtype=bool)
    wanted[rows] = True
    loader = Loader(
        batch_size=n_pool // block * block,
        chunk_size=block,
        preload_nchunks=n_pool // block,
        shuffle=True,
        return_index=True,
        preload_to_gpu=False,
        rng=rng,
    ).add_dataset(matrix.matrix)
    while True:
        for batch in loader:
            index = np.asarray(batch["index"])
            keep = wanted[index]
            if keep.any():
                yield index[keep], matrix.aligned(batch["X"])[keep]


def reads_with_annbatch(matrix: DiskMatrix) -> bool:
    """Whether a matrix is in a zarr store, and annbatch (extra ``outofcore``) is installed."""
    stored = getattr(matrix.matrix, "group", matrix.matrix)
    return type(stored).__module__.startswith("zarr") and find_spec("annbatch") is not None


def stacked(parts: list[Any]) -> Any:
    """Put blocks of rows on top of each other."""
    return (
        sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)
    )


class PooledBatches(IterableDataset):
    """Batches as of :class:`~domainvi.data.TransferSampler`, from rows that stay on disk.

    The half of all rows passes through the pools; the labelled half is drawn from the labelled
    rows of the pool and from up to 4,096 others that are kept in memory. So memory does not depend
    on the number of rows.

    Parameters
    ----------
    dataset
        All rows.
    rows
        Numbers of the training rows.
    weigh
        Gives the weights of row numbers in the labelled half.
    n_labelled, n_any
        Rows of the two halves of a batch.
    n_steps
        Batches of an epoch.
    seed
        Of all draws.
    """

    def __init__(
        self,
        dataset: PreparedRows,
        rows: NDArray[np.int64],
        weigh: Callable[[NDArray[np.int64]], NDArray[np.float64]],
        n_labelled: int,
        n_any: int,
        n_steps: int,
        seed: int,
    ) -> None:
        self.dataset, self.weigh = dataset, weigh
        self.n_labelled, self.n_any, self.n_steps = n_labelled, n_any, n_steps
        self.rng = np.random.default_rng(seed)
        self.kept = self._keep(rows) if n_labelled else rows[:0]
        self.kept_values = dataset.matrix[self.kept]
        n_pool = min(POOL_ROWS, max(POOL_VALUES // dataset.matrix.shape[1], 8 * n_any))
        pools = annbatch_pools if reads_with_annbatch(dataset.matrix) else file_pools
        self.batches = self._batches(pools(dataset.matrix, rows, n_pool, self.rng))

    def __iter__(self) -> Iterator[dict[str, NDArray]]:
        for _ in range(self.n_steps):
            yield next(self.batches)

    def _keep(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        weight = self.weigh(rows)
        n = min(KEPT_LABELLED, int(np.count_nonzero(weight)))
        return np.sort(self.rng.choice(rows, n, replace=False, p=weight))

    def _batches(self, pools: Iterator[Pool]) -> Iterator[dict[str, NDArray]]:
        for numbers, values in pools:
            rows = np.concatenate([self.kept, numbers])
            x = stacked([self.kept_values, values]) if len(self.kept) else values
            weight = cumulative(self.weigh(rows)) if self.n_labelled else np.empty(0)
            order = len(self.kept) + self.rng.permutation(len(numbers))
            # What is left over of a pool, less than a batch, is skipped in this pass.
            for i in range(max(1, len(order) // self.n_any)):
                places = order[i * self.n_any : (i + 1) * self.n_any]
                if self.n_labelled:
                    drawn = draw(weight, self.n_labelled, self.rng)
                    places = np.concatenate([drawn, places])
                yield {
                    REGISTRY_KEYS.X_KEY: dense_rows(x, places),
                    **self.dataset.others(rows[places]),
                }
