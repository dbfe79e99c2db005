"""Expression matrices that stay in their file: rows read when asked for, and pools for training."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scvi import REGISTRY_KEYS
from torch.utils.data import IterableDataset

from ._matrix import cumulative, dense_rows, draw, in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from numpy.typing import NDArray

    from ._genes import GeneAlignment
    from ._rows import PreparedRows

    Pool = tuple[NDArray[np.int64], Any]

# A matrix in a file that needs less than this in memory is read whole.
IN_MEMORY_BYTES = 2**29
# To read up to this many times the rows asked for in one go beats reading them one by one.
READ_FACTOR = 32
# Neighbouring rows that are read together.
BLOCK_ROWS = 128
# A pool has this many rows, or fewer when they are long: 256 MB if they were dense.
POOL_ROWS = 16_384
POOL_VALUES = 2**26
# Labelled rows that are always at hand, so that no class is missing from a pool.
KEPT_LABELLED = 4_096


def stays_on_disk(matrix: Any) -> bool:
    """Whether a matrix is in a file, row by row, and large.

    A sparse matrix that is stored by columns has to be read whole to get at a row.
    """
    if isinstance(matrix, np.ndarray) or sparse.issparse(matrix) or not hasattr(matrix, "shape"):
        return False
    return getattr(matrix, "format", "csr") == "csr" and n_bytes(matrix) > IN_MEMORY_BYTES


def n_bytes(matrix: Any) -> int:
    """Bytes of the values (and column numbers) of a matrix, in memory or in a file."""
    itemsize = np.dtype(matrix.dtype).itemsize
    if sparse.issparse(matrix):
        return int(matrix.nnz) * (itemsize + matrix.indices.itemsize)
    group = getattr(matrix, "group", None)
    if group is not None and "indices" in group:
        return int(group["indices"].shape[0]) * (itemsize + group["indices"].dtype.itemsize)
    return int(np.prod(matrix.shape)) * itemsize


class DiskMatrix:
    """Rows of a matrix in a file or a dask array, with the genes of a model if it is aligned."""

    ndim = 2

    def __init__(self, matrix: Any, alignment: GeneAlignment | None = None) -> None:
        self.matrix = matrix
        self.alignment = alignment
        n_genes = matrix.shape[1] if alignment is None else len(alignment.source)
        self.shape = (int(matrix.shape[0]), n_genes)
        self.dtype = np.dtype(matrix.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        """Read rows, in the order asked for: an ndarray, or CSR where the file is sparse."""
        if isinstance(rows, slice):
            return self.aligned(self.matrix[rows])
        index = np.atleast_1d(np.asarray(rows))
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        if not index.size:
            return self.aligned(self.matrix[0:0])
        # Files want ascending rows, each once.
        wanted, inverse = np.unique(index, return_inverse=True)
        # A dask array takes rows where its chunks are, which may be on other machines.
        if hasattr(self.matrix, "compute"):
            found = self._read(wanted, 1)
        else:
            reach = wanted // max(1, POOL_VALUES // max(self.matrix.shape[1], 1))
            groups = np.split(wanted, np.flatnonzero(np.diff(reach)) + 1)
            found = stacked([self._read(some, READ_FACTOR) for some in groups])
        return found if np.array_equal(index, wanted) else found[inverse.ravel()]

    def _read(self, wanted: NDArray[np.int64], factor: int) -> Any:
        """Read ascending rows, with those between them where these are not many times as many."""
        first, last = int(wanted[0]), int(wanted[-1])
        if last - first < factor * len(wanted):
            return self.aligned(self.matrix[first : last + 1])[wanted - first]
        return self.aligned(self.matrix[wanted])

    def aligned(self, block: Any) -> Any:
        """Bring rows as they are stored to an ndarray or CSR, with the genes of the model."""
        block = in_memory(block)
        return block if self.alignment is None else self.alignment.take(block)


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
    """Read pools as :func:`file_pools` does from a zarr store, with annbatch's parallel reads."""
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
    if len(parts) == 1:
        return parts[0]
    if sparse.issparse(parts[0]):
        return sparse.vstack(parts, format="csr")
    return np.concatenate(parts)


class PooledBatches(IterableDataset):
    """Batches as :class:`~domainvi.data.TransferSampler` makes them, from rows that stay on disk.

    The half of all rows passes through the pools; the labelled half is drawn from the labelled
    rows of the pool and from up to 4,096 others that are kept in memory. So memory does not depend
    on the number of rows.

    ``rows`` are the numbers of the training rows; ``weigh`` gives weights in the labelled half.
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
        self.kept = rows[:0]
        if n_labelled:
            weight = weigh(rows)
            n_kept = min(KEPT_LABELLED, int(np.count_nonzero(weight)))
            self.kept = np.sort(self.rng.choice(rows, n_kept, replace=False, p=weight))
        self.kept_values = dataset.matrix[self.kept]
        n_pool = min(POOL_ROWS, max(POOL_VALUES // dataset.matrix.shape[1], 8 * n_any))
        pools = annbatch_pools if reads_with_annbatch(dataset.matrix) else file_pools
        self.batches = self._batches(pools(dataset.matrix, rows, n_pool, self.rng))

    def __iter__(self) -> Iterator[dict[str, NDArray]]:
        for _ in range(self.n_steps):
            yield next(self.batches)

    def _batches(self, pools: Iterator[Pool]) -> Generator[dict[str, NDArray]]:
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
