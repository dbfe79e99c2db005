"""The data sets: rows, groups of factors, what to predict and what to hold out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


@dataclass(frozen=True)
class Dataset:
    """A real data set with the roles of its columns.

    Parameters
    ----------
    name, file
        Its name here, and its file.
    groups
        Factors by group; the first biological one is predicted, the first technical one leaks.
    unit
        Column whose values must not be split between training and fresh rows.
    """

    name: str
    file: str
    groups: dict[str, list[str]]
    unit: str | None = None

    @property
    def target(self) -> str:
        """Phenotype that is predicted in domains without labels."""
        return self.groups["biological"][0]

    @property
    def domain(self) -> str:
        """Column with the domains that are left out."""
        return self.groups["technical"][0]

    def read(self, data: Path) -> AnnData:
        """Read the rows and name the columns."""
        adata = ad.read_h5ad(data / self.file)
        if self.name == "gtex_tcga":
            cohort = adata.obs["cohort"].astype(str)
            adata.obs["platform"] = pd.Categorical(np.where(cohort == "gtex", "gtex", "tcga"))
            adata.obs["tissue"] = adata.obs["label"]
        return adata


DATASETS = (
    Dataset(
        "gtex_tcga",
        "bulk_tissue_gtex_vs_tcga.h5ad",
        {"biological": ["tissue", "state"], "technical": ["platform"]},
    ),
    Dataset(
        "tcga_11_cohorts",
        "tcga_tumor_normal_11cohorts.h5ad",
        {"biological": ["label"], "technical": ["cohort"]},
        unit="patient",
    ),
)


def fresh_rows(dataset: Dataset, adata: AnnData, share: float = 0.3, seed: int = 0) -> np.ndarray:
    """Mask of rows that a model does not see: whole units, drawn at random."""
    names = adata.obs_names if dataset.unit is None else adata.obs[dataset.unit].astype(str)
    units = np.unique(names)
    drawn = np.random.default_rng(seed).permutation(units)[: round(share * len(units))]
    return np.isin(names, drawn)
