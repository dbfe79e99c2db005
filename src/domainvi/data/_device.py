"""The whole expression matrix on an accelerator, where batches are gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from scvi import REGISTRY_KEYS
from torch.utils.data import Dataset

from ._disk import DiskMatrix, n_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._rows import PreparedRows

# Share of the free memory of a device that the data may take.
MEMORY_SHARE = 0.5


def fits(matrix: Any, device: torch.device) -> bool:
    """Whether a matrix in memory fits on a CUDA device beside the model."""
    if device.type != "cuda" or isinstance(matrix, DiskMatrix):
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes(matrix) < MEMORY_SHARE * free


class DeviceRows(Dataset):
    """Rows of a prepared object that live on a device; batches never pass through the host.

    Parameters
    ----------
    rows
        The rows as they are on the host, all of them.
    device
        Where they go.
    """

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
