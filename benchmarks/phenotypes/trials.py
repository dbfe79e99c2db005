"""What is predicted from what: rows, values that are hidden, and the rows that are scored."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

from domainvi.data import log_normalize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

N_FOLDS = 3
MIN_SCORED = 15


@dataclasses.dataclass(frozen=True)
class Setting:
    """A file, the cohorts that are left out in turn, and the phenotypes besides the main one.

    Attributes
    ----------
    file
        Name in the data folder.
    held_out
        Cohorts to leave out.
    targets
        Columns of obs.
    n_rows
        Rows that are drawn for each seed, or None for all.
    counts
        Whether the values are counts; others are on a log scale.
    """

    file: str
    held_out: tuple[str, ...]
    targets: tuple[str, ...]
    n_rows: int | None = None
    counts: bool = True


SETTINGS = {
    "rna_array": Setting(
        "tiny_tcga_rnaseq_vs_agilent.h5ad", ("agilent", "rnaseq"), ("sex", "age"), counts=False
    ),
    "mirna_platform": Setting(
        "tcga_mirna_ga_vs_hiseq.h5ad", ("GA", "HiSeq"), ("sex", "age"), n_rows=1000
    ),
    "mirna_cancer": Setting(
        "tcga_mirna_tumor_normal_natural_13cancers.h5ad",
        ("HNSC", "KIRC", "LUAD", "THCA"),
        ("sex", "age"),
        n_rows=1300,
    ),
    "rna_cancer": Setting(
        # Strengths of the linear members were chosen while looking at HNSC and LUAD.
        "tcga_tumor_normal_11cohorts.h5ad",
        ("COAD", "KIRP", "LIHC", "LUSC"),
        ("sex", "age"),
    ),
    "rna_rare_cancer": Setting(
        "tcga_rnaseq_sex_6cancers.h5ad", ("ACC", "CHOL", "STAD", "UVM"), ("age",)
    ),
}


@dataclasses.dataclass(frozen=True)
class Trial:
    """Rows with some values hidden.

    Attributes
    ----------
    adata
        Rows; ``obs`` has ``cohort``, ``label`` and the targets, hidden where they are to be found.
    truth
        The targets with nothing hidden.
    x
        Log values.
    hidden
        Rows whose label and targets are hidden.
    scored
        Hidden rows whose patient has no row that is shown.
    main
        Classes of the main phenotype, with nothing hidden.
    """

    adata: ad.AnnData
    truth: pd.DataFrame
    x: NDArray[np.float32]
    hidden: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    main: NDArray[np.str_]


def units(name: str, protocol: str) -> list[str]:
    """Names of what is held out in turn: cohorts, or folds of patients."""
    if protocol == "leave_one_domain_out":
        return list(SETTINGS[name].held_out)
    return [f"fold{i}" for i in range(N_FOLDS)]


def build(data: Path, name: str, protocol: str, unit: str, seed: int) -> Trial:
    """Draw rows, and hide label and targets of a cohort or of a fold of patients."""
    setting = SETTINGS[name]
    adata = ad.read_h5ad(data / setting.file)
    rng = np.random.default_rng(seed)
    if setting.n_rows is not None:
        adata = adata[np.sort(rng.choice(adata.n_obs, setting.n_rows, replace=False))].copy()
    patient = pd.factorize(adata.obs["patient"].astype(str))[0]
    if protocol == "leave_one_domain_out":
        hidden = (adata.obs["cohort"] == unit).to_numpy()
    else:
        fold = rng.permutation(patient.max() + 1) % N_FOLDS
        hidden = fold[patient] == int(unit.removeprefix("fold"))
    truth = pd.DataFrame({t: _plain(adata.obs[t]) for t in setting.targets})
    main = adata.obs["label"].astype(str).to_numpy()
    shown = {t: column.where(~hidden) for t, column in truth.items()}
    obs = {"cohort": adata.obs["cohort"].astype(str), "label": np.where(hidden, "Unknown", main)}
    adata.obs = pd.DataFrame({**obs, **shown}, index=adata.obs_names)
    x = log_normalize(adata.X) if setting.counts else adata.X
    x = np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float32)
    scored = hidden & ~np.isin(patient, patient[~hidden])
    return Trial(adata, truth, x, hidden, scored, main)


def _plain(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype(float)
    return column.astype(object).where(column.notna())


def scored_targets(trial: Trial) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield the targets that can be scored, with the rows: enough of them, and of both classes."""
    for target, column in trial.truth.items():
        rows = np.flatnonzero(trial.scored & column.notna())
        counts = column.iloc[rows].value_counts()
        if len(rows) >= MIN_SCORED and (
            column.dtype == float or (len(counts) > 1 and counts.min() >= 5)
        ):
            yield str(target), rows
