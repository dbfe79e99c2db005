"""Expression matrices that stay in their file: rows are read when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ._sparse import canonical

if TYPE_CHECKING:
    from ._genes import GeneAlignment

# A matrix in a file that needs less than this in memory is read whole.
IN_MEMORY_BYTES = 2**29
# To read up to this many times the rows asked for in one go beats reading them one by one.
READ_FACTOR = 32


def stays_on_disk(matrix: Any) -> bool:
    """Whether a matrix is in a file, row by row, and large.

    A sparse matrix that is stored by columns has to be read whole to get at a row.
    """
    if isinstance(matrix, np.ndarray) or sparse.issparse(matrix) or not hasattr(matrix, "shape"):
        return False
    if getattr(matrix, "format", "csr") != "csr":
        return False
    return n_bytes(matrix) > IN_MEMORY_BYTES


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
    """Rows of a matrix in a file, with the genes of a model.

    Parameters
    ----------
    matrix
        Backed CSR matrix or dense array of an h5ad file or zarr store, or a dask array.
    alignment
        How its columns become those of the model; as they are if ``None``.
    """

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
        first, last = int(wanted[0]), int(wanted[-1])
        if last - first < READ_FACTOR * len(wanted):
            block = self.aligned(self.matrix[first : last + 1])
            return block[index - first]
        block = self.aligned(self.matrix[wanted])
        return block[inverse.ravel()]

    def aligned(self, block: Any) -> Any:
        """Bring rows as they are stored to an ndarray or CSR, with the genes of the model."""
        block = computed(block)
        is_sparse = sparse.issparse(block)
        block = canonical(sparse.csr_matrix(block)) if is_sparse else np.asarray(block)
        return block if self.alignment is None else self.alignment.take(block)


def computed(block: Any) -> Any:
    """Turn a lazy (dask) array into one in memory, and leave others as they are."""
    return block.compute() if hasattr(block, "compute") else block
