"""A task with its labels drawn: what a method gets, and what it is scored on."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.transfer import stress as stresses
from benchmarks.transfer.draws import draw_share
from benchmarks.transfer.tasks import Task, read
from domainvi.tl import Draw, draw_per_class

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

UNLABELED = "Unknown"


@dataclasses.dataclass(frozen=True)
class Unit:
    """One task under one stress with one draw of labels.

    Attributes
    ----------
    adata
        Rows of source and target. ``obs["domain"]`` is the cohort and ``obs["label"]`` the class,
        ``"Unknown"`` where it is hidden.
    classes
        Class names, sorted; the columns of every prediction.
    domain, label, truth
        Codes of the rows; ``label`` is -1 where hidden, ``truth`` is never shown.
    is_source, scored
        Rows of the source; rows of the target on which methods are compared.
    counts
        Whether the values are counts.
    """

    adata: AnnData
    classes: tuple[str, ...]
    domain: NDArray[np.int64]
    label: NDArray[np.int64]
    truth: NDArray[np.int64]
    is_source: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    counts: bool


@functools.lru_cache(maxsize=2)
def build_unit(data: Path, task: Task, stress: str, budget: str, seed: int) -> Unit:
    """Draw labels and rows; everything random follows from the arguments.

    All target rows are scored that are not labelled themselves and whose patient has no labelled
    row, neither drawn nor in the source. At budget 0 that is the whole target.

    Parameters
    ----------
    data
        Folder with the files.
    task
        What is transferred.
    stress
        One of :data:`benchmarks.transfer.stress.STRESSES`.
    budget
        Labels of each class that the target shows, such as ``"5"``; or, such as ``"5%"``, a
        percentage of one half of the target, with the other half scored.
    seed
        Of every draw.
    """
    adata = _rows_of_task(data, task)
    source = adata.obs[task.domain_key].astype(str).to_numpy() != task.target
    truth = _codes(adata, task.label_key, task.classes)
    keep = source.copy()
    keep[~source] = stresses.target_rows(stress, truth[~source], seed)
    adata, source, truth = adata[keep], source[keep], truth[keep]
    draw = _draw(adata, source, truth, budget, seed)
    label = np.full(truth.size, -1, dtype=np.int64)
    label[source] = stresses.source_labels(stress, truth[source], len(task.classes), seed)
    label[draw.shown] = truth[draw.shown]
    scored = np.zeros(truth.size, dtype=bool)
    scored[draw.scored] = True
    hidden = np.flatnonzero(label < 0)
    keep = np.ones(truth.size, dtype=bool)
    keep[hidden] = stresses.unlabelled_rows(stress, truth[hidden], seed)
    columns = stresses.genes(stress, adata.n_vars, seed)
    return _assemble(
        adata[keep, columns], task, label[keep], truth[keep], source[keep], scored[keep]
    )


def _rows_of_task(data: Path, task: Task) -> AnnData:
    adata = read(data / task.file)
    in_cohorts = adata.obs[task.domain_key].isin([*task.sources, task.target])
    keep = in_cohorts & adata.obs[task.label_key].isin(task.classes)
    if task.halves:
        is_target = adata.obs[task.domain_key] == task.target
        keep &= adata.obs["half"].astype(str) == np.where(is_target, "1", "0")
    return adata[keep.to_numpy()]


def _codes(adata: AnnData, key: str, names: tuple[str, ...]) -> NDArray[np.int64]:
    return pd.Categorical(adata.obs[key].astype(str), list(names)).codes.astype(np.int64)


def _draw(
    adata: AnnData,
    source: NDArray[np.bool_],
    truth: NDArray[np.int64],
    budget: str,
    seed: int,
) -> Draw:
    target = np.flatnonzero(~source)
    names = adata.obs["patient"].astype(str) if "patient" in adata.obs else adata.obs_names
    groups = pd.factorize(names)[0].astype(np.int64)
    rng = np.random.default_rng(seed)
    if budget.endswith("%"):
        share = float(budget.removesuffix("%")) / 100
        draw = draw_share(truth, target, groups, share, rng)
    else:
        draw = draw_per_class(truth, target, groups, int(budget), rng)
    in_source = np.isin(groups[draw.scored], groups[source])
    return draw._replace(scored=draw.scored[~in_source])


def _assemble(
    adata: AnnData,
    task: Task,
    label: NDArray[np.int64],
    truth: NDArray[np.int64],
    source: NDArray[np.bool_],
    scored: NDArray[np.bool_],
) -> Unit:
    work = adata.copy()
    cohort = work.obs[task.domain_key].astype(str)
    names = np.array([*task.classes, UNLABELED], dtype=object)
    work.obs = pd.DataFrame(
        {"domain": cohort.to_numpy(), "label": names[label]}, index=work.obs_names
    )
    return Unit(
        adata=work,
        classes=task.classes,
        domain=pd.factorize(cohort, sort=True)[0].astype(np.int64),
        label=label,
        truth=truth,
        is_source=source,
        scored=scored,
        counts=task.counts,
    )
