"""Run units, one row each, and pick up where an earlier run stopped."""

from __future__ import annotations

import concurrent.futures
import csv
import dataclasses
import itertools
import logging
import multiprocessing
import os
import time
import warnings
from typing import TYPE_CHECKING

import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.transfer.methods import METHODS
from benchmarks.transfer.units import build_unit
from domainvi.tl import score_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.transfer.tasks import Task

    Record = dict[str, str | int | float]

logger = logging.getLogger(__name__)

KEYS = ("task", "stress", "method", "budget", "seed")
SCORES = (
    "macro_f1",
    "balanced_accuracy",
    "accuracy",
    "worst_recall",
    "auroc",
    "ece",
    "nll",
)
COLUMNS = ("task", "family", *KEYS[1:], *SCORES, "seconds", "n_source", "n_shown", "n_target")


@dataclasses.dataclass(frozen=True)
class Job:
    """What one row of the table says."""

    task: Task
    stress: str
    method: str
    budget: str
    seed: int

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify the row."""
        return (self.task.name, self.stress, self.method, self.budget, str(self.seed))


def plan(
    tasks: Sequence[Task],
    stresses: Sequence[str],
    methods: Sequence[str],
    budgets: Sequence[str],
    seeds: Sequence[int],
) -> list[Job]:
    """List all jobs; those on the same rows stand together."""
    grid = itertools.product(tasks, stresses, seeds, budgets, methods)
    return [Job(task, stress, method, budget, seed) for task, stress, seed, budget, method in grid]


def run_job(data: Path, job: Job) -> Record:
    """Run one method on one unit and score it.

    Parameters
    ----------
    data
        Folder with the files.
    job
        What to run.

    Returns
    -------
    The row of the table.
    """
    unit = build_unit(data, job.task, job.stress, job.budget, job.seed)
    start = time.perf_counter()
    # More processes use the cores better than more threads, and seconds can be compared.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        probabilities = METHODS[job.method](unit, job.seed)
    seconds = time.perf_counter() - start
    scores = score_probabilities(unit.truth[unit.scored], probabilities[unit.scored])
    return {
        **dict(zip(KEYS, job.key, strict=True)),
        "family": job.task.family,
        **{name: round(scores[name], 6) for name in SCORES},
        "seconds": round(seconds, 3),
        "n_source": int(unit.is_source.sum()),
        "n_shown": int((unit.label >= 0).sum() - unit.is_source.sum()),
        "n_target": int(unit.scored.sum()),
    }


def finished(path: Path) -> set[tuple[str, ...]]:
    """Read which rows a table holds, and cut off one that was half written.

    Parameters
    ----------
    path
        The table; it need not exist.
    """
    if not path.exists():
        return set()
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        path.write_bytes(whole)
    if not whole:
        return set()
    table = pd.read_csv(path, dtype=str)
    return set(table[list(KEYS)].itertuples(index=False, name=None))


def append(path: Path, record: Record) -> None:
    """Add a row to the table and make sure that it is on the disk."""
    is_new = not path.exists() or path.stat().st_size == 0
    with path.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(record)
        handle.flush()
        os.fsync(handle.fileno())


def run(data: Path, jobs: Sequence[Job], out: Path, n_processes: int = 1) -> int:
    """Run what the table does not hold yet.

    Parameters
    ----------
    data
        Folder with the files.
    jobs
        What the table should hold.
    out
        The table; rows are added to it as they come.
    n_processes
        How many jobs run at once.

    Returns
    -------
    The number of jobs that failed; they are logged and tried again by the next run.
    """
    done = finished(out)
    todo = [job for job in jobs if job.key not in done]
    logger.info("%d of %d rows are there; %d to run", len(jobs) - len(todo), len(jobs), len(todo))
    failures = 0
    for number, (job, outcome) in enumerate(_outcomes(data, todo, n_processes), start=1):
        if isinstance(outcome, Exception):
            failures += 1
            logger.error("%s failed: %s: %s", job.key, type(outcome).__name__, outcome)
            continue
        append(out, outcome)
        where = " ".join(job.key)
        logger.info("%d/%d %s %.3f", number, len(todo), where, outcome["macro_f1"])
    return failures


def _outcomes(
    data: Path, jobs: Sequence[Job], n_processes: int
) -> Iterator[tuple[Job, Record | Exception]]:
    if n_processes == 1:
        for job in jobs:
            yield job, _attempt(data, job)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(n_processes, mp_context=context) as pool:
        pending = {pool.submit(_attempt, data, job): job for job in jobs}
        for future in concurrent.futures.as_completed(pending):
            yield pending[future], future.result()


def _attempt(data: Path, job: Job) -> Record | Exception:
    """One method that fails must not end a sweep of hours."""
    try:
        return run_job(data, job)
    except Exception as error:  # noqa: BLE001
        return error
