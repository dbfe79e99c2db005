"""Cohorts, their split by patient, and draws of labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

UNLABELED = "Unknown"
TEST_SHARE = 0.4
N_GENES = 500
MAX_POOL = 1000


@dataclass(frozen=True)
class Task:
    """A phenotype of a file.

    Parameters
    ----------
    name
        In the tables.
    file
        Name of the h5ad file without its ending.
    domain_key, label_key
        Columns of ``obs``.
    role
        ``"chosen on"`` where settings were chosen, ``"reported"`` where nothing was.
    """

    name: str
    file: str
    domain_key: str
    label_key: str
    role: str


_TCGA, _MIRNA = "tcga_tumor_normal_11cohorts", "tcga_mirna_ga_vs_hiseq"
TASKS = {
    task.name: task
    for task in (
        Task("tcga_cancer_type", _TCGA, "label", "cancer_type", "chosen on"),
        Task("tcga_tissue", _TCGA, "label", "tissue", "chosen on"),
        Task("mirna_cancer_type", _MIRNA, "cohort", "label", "reported"),
    )
}


@cache
def read(data: Path, file: str) -> tuple[ad.AnnData, ad.AnnData]:
    """Read the pool and the test rows of a file; no patient has rows in both.

    At most 1,000 rows are in the pool. The 500 genes whose logarithms vary most among them are
    kept.
    """
    adata = ad.read_h5ad(data / f"{file}.h5ad")
    patient, rng = adata.obs["patient"].astype(str).to_numpy(), np.random.default_rng(0)
    drawn = rng.permutation(np.unique(patient))
    is_test = np.isin(patient, drawn[: int(TEST_SHARE * len(drawn))])
    pool = np.sort(rng.permutation(np.flatnonzero(~is_test))[:MAX_POOL])
    if hasattr(adata.X, "toarray"):
        adata.X = adata.X.toarray()
    spread = np.log1p(adata.X[pool]).var(axis=0)
    genes = np.sort(np.argsort(-spread, kind="stable")[:N_GENES])
    return adata[pool][:, genes].copy(), adata[is_test, genes].copy()


def names(adata: ad.AnnData, key: str) -> NDArray[np.str_]:
    """Read a column of ``obs`` as text."""
    return adata.obs[key].astype(str).to_numpy().astype(np.str_)


def draw(label: NDArray[np.str_], budget: int, seed: int) -> NDArray[np.int64]:
    """Draw ``budget`` rows of each class; larger budgets of a seed hold the smaller ones."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(label == c))[:budget] for c in np.unique(label)]
    return np.sort(np.concatenate(rows))


def with_labels(pool: ad.AnnData, task: Task, shown: NDArray[np.int64]) -> ad.AnnData:
    """Hide all labels of the pool but those shown.

    DomainVI refuses classes with a single row, so at one label a class that row stands twice.
    """
    label = names(pool, task.label_key)
    kept = np.full(len(label), UNLABELED, dtype=object)
    kept[shown] = label[shown]
    obs = pool.obs[[task.domain_key]].assign(target=kept)
    out = ad.AnnData(pool.X, obs=obs, var=pool.var[[]])
    if len(shown) > len(np.unique(label)):
        return out
    again = out[shown].copy()
    again.obs_names = [f"{name}-again" for name in again.obs_names]
    return ad.concat([out, again])
