"""Rows for pretraining: the model's own, and those of an object that is there for this alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from torch.utils.data import DataLoader, Dataset

from domainvi.data import TransferSampler, to_tensors
from domainvi.module import EXPRESSION
from domainvi.train import extend_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData
    from domainvi.module import DomainVAE

    Statistics = tuple[torch.Tensor, torch.Tensor]

KEPT = (REGISTRY_KEYS.X_KEY, REGISTRY_KEYS.BATCH_KEY, REGISTRY_KEYS.SIZE_FACTOR_KEY)


class PooledRows(Dataset):
    """Rows of several prepared objects as one dataset; domain codes of each follow the last's."""

    def __init__(self, prepared: Sequence[PreparedAnnData], n_domains: Sequence[int]) -> None:
        self.parts = [part.manager.create_torch_dataset() for part in prepared]
        self.ends = np.cumsum([part.n_obs for part in prepared])
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
    module: DomainVAE, prepared: Sequence[PreparedAnnData], batch_size: int, seed: int
) -> tuple[DataLoader, Statistics]:
    """Load shuffled rows of all objects, with the statistics that their domain codes refer to.

    The module's scaling serves the first object; domains and missing genes of the others are added.

    Returns
    -------
    The loader, and centre and scale, each ``(n_all_domains, n_genes)``.
    """
    standardiser = module.modalities.only.standardiser
    statistics = [(standardiser.loc, standardiser.scale)]
    for part in prepared[1:]:
        domain = np.asarray(part.manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY)).ravel()
        extended, _ = extend_statistics(module, EXPRESSION, part, domain.astype(np.int64))
        statistics.append(extended.network)
    rows = PooledRows(prepared, [len(centre) for centre, _ in statistics])
    sampler = TransferSampler(np.arange(len(rows)), np.zeros(len(rows)), batch_size, seed)
    loader = DataLoader(rows, sampler=sampler, batch_size=None, collate_fn=to_tensors)
    centre, scale = (torch.cat(pair).clone() for pair in zip(*statistics, strict=True))
    return loader, (centre, scale)
