"""Milliseconds that a training batch takes to load, from memory and from a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import anndata as ad
import numpy as np
from scvi import REGISTRY_KEYS

from domainvi.data import TransferDataModule, _disk, labelled_weights

from . import models
from .cohorts import N_DOMAINS, repeated
from .measures import Row, row, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import NDArray

N_BATCHES = 700


def loading(n_obs: int = 100_000, n_genes: int = 2_000, rounds: int = 3) -> Iterator[Row]:
    """Alternate between both; the pools of rows that a file is read by are counted in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.h5ad"
        repeated(n_obs, n_genes).write_h5ad(path)
        for _ in range(rounds):
            for method, backed, limit in (("DomainVI", None, np.inf), ("DomainVI (h5ad)", "r", 0)):
                with mock.patch.object(_disk, "IN_MEMORY_BYTES", limit):
                    batches = iter(module(ad.read_h5ad(path, backed=backed)).train_dataloader())
                    next(batches)
                    times = seconds(lambda b=batches: [next(b) for _ in range(N_BATCHES)])
                wall, processor = (1e3 * t / N_BATCHES for t in times)
                data = f"cells {n_obs:,} x {n_genes:,} CSR"
                yield row("load a batch, ms", data, method, (wall, processor))


def module(adata: AnnData) -> TransferDataModule:
    """Return batches of all rows, three of six domains being sources."""
    manager = models.domainvi(adata)._validate_anndata().manager
    domain, label = (
        np.asarray(manager.get_from_registry(key)).ravel().astype(np.int64)
        for key in (REGISTRY_KEYS.BATCH_KEY, REGISTRY_KEYS.LABELS_KEY)
    )
    label = np.where(label == label.max(), -1, label)
    is_source = np.arange(N_DOMAINS) < N_DOMAINS // 2

    def weigh(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return labelled_weights(domain[rows], label[rows], is_source, 0.6)

    every = np.arange(len(domain))
    return TransferDataModule(manager, every, every[:0], weigh, batch_size=128, seed=0)
