"""Rows of prepared objects: ids, blocks for inference, batches from the host or a device."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from torch.utils.data import Dataset

from ._disk import DiskMatrix, n_bytes
from ._matrix import dense_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from ._prepare import PreparedAnnData

# Share of the free memory of a device that the data may take.
MEMORY_SHARE = 0.5


def row_blocks(
    matrix: Any, rows: NDArray[np.int64], group: NDArray[np.int64], size: int
) -> Iterator[tuple[NDArray[np.int64], int, Any]]:
    """Yield places in ``rows``, their group and rows of the matrix: one group, ``size`` at most.

    ``group`` has the group of every row of the matrix. Files are read from front to back.

    Examples
    --------
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


def row_ids(names: Iterable[Any]) -> NDArray[np.int64]:
    """Eight bytes for each row name, the same on every machine.

    Examples
    --------
    >>> int(row_ids(["a", "b"])[0]) == int(row_ids(["a"])[0])
    True
    """
    hashes = (
        hashlib.blake2b(str(name).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for name in names
    )
    return np.frombuffer(b"".join(hashes), dtype="<i8").astype(np.int64)


def validate_row_ids(found: NDArray[Any]) -> NDArray[np.int64]:
    """Refuse what cannot be row ids from a file."""
    if found.dtype != np.int64 or found.ndim != 1:
        msg = f"ids of the training rows are {found.dtype} of {found.ndim} dimensions"
        raise ValueError(msg)
    return found


class PreparedRows(Dataset):
    """Rows of a prepared object as batches, one array a registered field; all rows by default."""

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
        """Take all but the expression, in the types that scvi-tools loads: int64 or float32."""
        return {
            key: values[rows].astype(np.int64 if values.dtype.kind in "biu" else np.float32)
            for key, values in self.columns.items()
        }


def fits(matrix: Any, device: torch.device) -> bool:
    """Whether a matrix in memory fits on a CUDA device beside the model."""
    if device.type != "cuda" or isinstance(matrix, DiskMatrix):
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes(matrix) < MEMORY_SHARE * free


class DeviceRows(Dataset):
    """Rows of a prepared object that live on a device; batches never pass through the host."""

    def __init__(self, rows: PreparedRows, device: torch.device) -> None:
        self.device = device
        self.columns = {
            key: torch.from_numpy(np.array(value)).to(device)
            for key, value in rows.others(rows.rows).items()
        }
        matrix = rows.matrix
        self.shape = matrix.shape
        self.is_sparse = sparse.issparse(matrix)
        if self.is_sparse:
            # Row starts stay on the host too, so that sizes are known without waiting.
            self.starts = torch.from_numpy(matrix.indptr.astype(np.int64))
            self.genes = torch.from_numpy(np.array(matrix.indices)).to(device)
        values = matrix.data if self.is_sparse else matrix
        self.values = torch.from_numpy(np.array(values, dtype=np.float32)).to(device)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Sequence[int]) -> dict[str, torch.Tensor]:
        host = torch.as_tensor(index, dtype=torch.int64)
        rows = host.to(self.device, non_blocking=True)
        x = self._from_csr(host) if self.is_sparse else self.values[rows]
        return {REGISTRY_KEYS.X_KEY: x, **{k: v[rows] for k, v in self.columns.items()}}

    def _from_csr(self, rows: torch.Tensor) -> torch.Tensor:
        """Dense copy of some rows."""
        starts, lengths = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        total = int(lengths.sum())
        shift = (starts - lengths.cumsum(0) + lengths).to(self.device, non_blocking=True)
        lengths = lengths.to(self.device, non_blocking=True)
        number = torch.arange(len(rows), device=self.device)
        row = torch.repeat_interleave(number, lengths, output_size=total)
        places = torch.arange(total, device=self.device) + shift[row]
        x = self.values.new_zeros(len(rows), self.shape[1])
        x[row, self.genes[places].long()] = self.values[places]
        return x


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
