"""Rows for pretraining: the model's own, and those of an object that is there for this alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from torch.utils.data import DataLoader, Dataset

from domainvi.data import TransferSampler, to_tensors

from ._extend import extended_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData
    from domainvi.module import DomainVAE

    Table = tuple[torch.Tensor, torch.Tensor]

KEPT = (REGISTRY_KEYS.X_KEY, REGISTRY_KEYS.BATCH_KEY, REGISTRY_KEYS.SIZE_FACTOR_KEY)


class PooledRows(Dataset):
    """Rows of several prepared objects as one dataset; each object has domain codes of its own.

    Parameters
    ----------
    works
        Prepared objects with the same genes.
    n_domains
        Domains of each object: codes of the second follow those of the first.
    """

    def __init__(self, works: Sequence[PreparedAnnData], n_domains: Sequence[int]) -> None:
        self.parts = [work.manager.create_torch_dataset() for work in works]
        self.ends = np.cumsum([work.n_obs for work in works])
        self.offset = np.cumsum([0, *n_domains[:-1]])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: list[int]) -> dict[str, NDArray]:
        rows = np.asarray(index)
        part = np.searchsorted(self.ends, rows, side="right")
        pieces = []
        for i in np.unique(part):
            start = self.ends[i - 1] if i else 0
            piece = self.parts[i][(rows[part == i] - start).tolist()]
            piece = {k: np.asarray(piece[k]) for k in KEPT if k in piece}
            piece[REGISTRY_KEYS.BATCH_KEY] = piece[REGISTRY_KEYS.BATCH_KEY] + self.offset[i]
            pieces.append(piece)
        return {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]}


def pooled_loader(
    module: DomainVAE, works: Sequence[PreparedAnnData], batch_size: int, seed: int
) -> tuple[DataLoader, Table]:
    """Load shuffled rows of all objects, and the scaling tables that their domain codes refer to.

    Parameters
    ----------
    module
        Module whose scaling is fitted; it serves the first object.
    works
        Prepared objects; domains and missing genes of all but the first are added to the tables.
    batch_size
        Rows a step.
    seed
        Of the order.

    Returns
    -------
    The loader, and centre and scale, each ``(n_all_domains, n_genes)``.
    """
    tables = [(module.standardiser.loc, module.standardiser.scale)]
    for work in works[1:]:
        domain = np.asarray(work.manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY)).ravel()
        extended, _ = extended_tables(module, work, domain.astype(np.int64))
        tables.append(extended.network)
    rows = PooledRows(works, [len(centre) for centre, _ in tables])
    sampler = TransferSampler(np.arange(len(rows)), np.zeros(len(rows)), batch_size, seed)
    loader = DataLoader(rows, sampler=sampler, batch_size=None, collate_fn=to_tensors)
    centre, scale = (torch.cat(pair).clone() for pair in zip(*tables, strict=True))
    return loader, (centre, scale)
