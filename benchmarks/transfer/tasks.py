"""What is transferred from where to where."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import anndata as ad
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

_LOCO_COHORTS = 4
_LOCO_ROWS = 5


@dataclasses.dataclass(frozen=True)
class Task:
    """One transfer: rows of some cohorts teach, rows of another are scored.

    Attributes
    ----------
    name, family
        Families group tasks that are alike, so that a choice can be tried on what had no part in
        making it.
    file
        Name of the h5ad file.
    domain_key, label_key
        Columns of its ``obs``.
    sources, target
        Cohorts.
    counts
        Whether the values are counts, rather than values on a log scale.
    classes
        Shared classes, sorted; rows of others take no part.
    batch
        In which turn the task was added, from 1. What was chosen on the tasks of one batch is
        judged by those of later ones.
    halves
        Whether both cohorts are the same patients: ``obs["half"]`` deals these, and the source is
        half 0 and the target half 1.
    """

    name: str
    family: str
    file: str
    domain_key: str
    label_key: str
    sources: tuple[str, ...]
    target: str
    counts: bool
    classes: tuple[str, ...]
    batch: int = 1
    halves: bool = False


@functools.lru_cache(maxsize=2)
def read(path: Path) -> ad.AnnData:
    """Read a file; the last two stay in memory."""
    return ad.read_h5ad(path)


def table_tasks(data: Path) -> list[Task]:
    """Return the tasks of ``tasks.csv``."""
    table = pd.read_csv(data / "tasks.csv")
    return [
        Task(
            name=row["task"],
            family=row["family"],
            file=row["file"],
            domain_key=row["domain_key"],
            label_key=row["label_key"],
            sources=tuple(row["source"].split("|")),
            target=row["target"],
            counts=row["values"] == "counts",
            classes=tuple(sorted(row["classes"].split("|"))),
            batch=int(row.get("batch", 1)),
            halves=bool(row.get("halves", False)),
        )
        for _, row in table.iterrows()
    ]


def loco_tasks(data: Path) -> list[Task]:
    """Leave each cohort out of every listed file with four or more of them.

    A class counts as shared with five rows on each side; a target with fewer than two shared
    classes gives no task.
    """
    first = {task.file: task for task in reversed(table_tasks(data))}
    return [task for like in first.values() for task in _leave_out(data, like)]


def _leave_out(data: Path, like: Task) -> list[Task]:
    obs = read(data / like.file).obs
    counts = pd.crosstab(obs[like.domain_key].astype(str), obs[like.label_key].astype(str))
    if len(counts) < _LOCO_COHORTS:
        return []
    tasks = []
    for target in counts.index:
        here, there = counts.loc[target], counts.drop(index=target)
        classes = counts.columns[(here >= _LOCO_ROWS) & (there.sum() >= _LOCO_ROWS)]
        if len(classes) < 2:
            continue
        sources = there.index[there[classes].sum(axis=1) > 0]
        name = f"loco_{like.family}_{target}"
        changes = {"name": name, "target": target, "sources": tuple(sources)}
        tasks.append(dataclasses.replace(like, classes=tuple(sorted(classes)), **changes))
    return tasks


def select_tasks(data: Path, names: list[str]) -> list[Task]:
    """Look tasks up.

    Parameters
    ----------
    data
        Folder with ``tasks.csv`` and the files.
    names
        Names of tasks or of families; ``"all"`` for those of ``tasks.csv``, ``"loco"`` for
        leave-one-cohort-out.

    Raises
    ------
    ValueError
        If a name fits nothing.
    """
    table = table_tasks(data)
    wants_loco = any(name.startswith("loco") for name in names)
    known = table + (loco_tasks(data) if wants_loco else [])
    chosen = [task for task in known if any(_fits(task, name) for name in names)]
    for name in names:
        if not any(_fits(task, name) for task in known):
            msg = f"no task or family is called {name!r}; tasks: {', '.join(t.name for t in table)}"
            raise ValueError(msg)
    return chosen


def _fits(task: Task, name: str) -> bool:
    is_loco = task.name.startswith("loco_")
    if name in {"all", "loco"}:
        return is_loco == (name == "loco")
    return name == task.name or (name == task.family and not is_loco)


def smallest_first(data: Path, done: set[str]) -> list[Task]:
    """Tasks of ``tasks.csv`` that are not done yet, those with the fewest rows first."""
    size = pd.read_csv(data / "tasks.csv").set_index("task")[["n_source", "n_target"]].sum(axis=1)
    tasks = [task for task in select_tasks(data, ["all"]) if task.name not in done]
    return sorted(tasks, key=lambda task: size[task.name])
