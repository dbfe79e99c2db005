"""Rows of prepared objects: as batches for scvi-tools, and as blocks for inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from torch.utils.data import Dataset

from ._disk import DiskMatrix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ._prepare import PreparedAnnData


def dense_rows(matrix: Any, rows: Any) -> NDArray[np.float32]:
    """Read rows as they are, dense float32."""
    x = matrix[rows]
    x = x.toarray() if sparse.issparse(x) else np.asarray(x)
    return np.asarray(x, dtype=np.float32)


def row_blocks(
    matrix: Any, rows: NDArray[np.int64], group: NDArray[np.int64], size: int
) -> Iterator[tuple[NDArray[np.int64], int, Any]]:
    """Yield the rows of one group at a time, at most ``size`` of them.

    Parameters
    ----------
    matrix
        Array, CSR matrix or :class:`DiskMatrix`.
    rows
        Row numbers, in any order.
    group
        Group of every row of the matrix.
    size
        Rows to read at once.

    Yields
    ------
    Places in ``rows``, the group and the rows of the matrix. Files are read from front to back.

    Examples
    --------
    >>> import numpy as np
    >>> x, group = np.arange(3.0)[:, None], np.array([1, 0, 1])
    >>> [(p.tolist(), g) for p, g, _ in row_blocks(x, np.array([2, 1, 0]), group, 2)]
    [([1], 0), ([0, 2], 1)]
    """
    inside = group[rows]
    if not isinstance(matrix, DiskMatrix):
        for g in np.unique(inside):
            members = np.flatnonzero(inside == g)
            for start in range(0, len(members), size):
                places = members[start : start + size]
                yield places, int(g), matrix[rows[places]]
        return
    order = np.argsort(rows, kind="stable")
    for start in range(0, len(rows), size):
        places = order[start : start + size]
        block = matrix[rows[places]]
        for g in np.unique(inside[places]):
            mask = inside[places] == g
            yield places[mask], int(g), block[mask]


class PreparedRows(Dataset):
    """Rows of a prepared object as batches: one array a registered field.

    Parameters
    ----------
    manager
        Manager of the prepared object.
    rows
        Row numbers that the batches are numbered by; all rows if ``None``.
    """

    def __init__(self, manager: AnnDataManager, rows: Sequence[int] | None = None) -> None:
        self.matrix = manager.adata.X
        self.columns: dict[str, NDArray] = {
            key: np.asarray(manager.get_from_registry(key)).reshape(len(manager.adata), -1)
            for key in manager.data_registry
            if key != REGISTRY_KEYS.X_KEY
        }
        self.rows = np.arange(len(manager.adata)) if rows is None else np.asarray(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> dict[str, NDArray]:
        rows = np.atleast_1d(self.rows[index])
        return {REGISTRY_KEYS.X_KEY: dense_rows(self.matrix, rows), **self.others(rows)}

    def others(self, rows: NDArray[np.int64]) -> dict[str, NDArray]:
        """Take everything but the expression values."""
        return {key: as_loaded(values[rows]) for key, values in self.columns.items()}


def as_loaded(values: NDArray) -> NDArray:
    """Bring values to the types that scvi-tools loads: whole numbers, or single precision."""
    return values.astype(np.int64 if values.dtype.kind in "biu" else np.float32)


class PreparedManager(AnnDataManager):
    """The manager of scvi-tools with batches from :class:`PreparedRows`.

    Those of scvi-tools come in file order when the data are on disk, whatever was asked for.
    """

    adata: PreparedAnnData

    def create_torch_dataset(
        self,
        indices: Sequence[int] | None = None,
        data_and_attributes: Any = None,
        load_sparse_tensor: bool = False,
    ) -> PreparedRows:
        """Return the rows as a dataset that is indexed by lists of places in ``indices``."""
        return PreparedRows(self, indices)
