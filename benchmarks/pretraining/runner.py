"""Run what the table lacks, one row a method, budget and draw."""

from __future__ import annotations

import csv
import logging
import time
import warnings
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, f1_score

from benchmarks.pretraining.methods import Shown, predict
from benchmarks.pretraining.tasks import TASKS, draw, names, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

KEYS = ("task", "method", "budget", "seed")
COLUMNS = (*KEYS, "macro_f1", "balanced_accuracy", "seconds", "n_pool", "n_shown", "n_test")


def run(
    data: Path,
    models: Path,
    out: Path,
    grid: Sequence[Sequence[str]],
) -> None:
    """Run a grid of tasks, methods, budgets and seeds; rows that are there stay.

    Parameters
    ----------
    data
        Folder with the files.
    models
        Folder of the pretrained models.
    out
        The table; rows are added as they come.
    grid
        Values of each of :data:`KEYS`, as text.
    """
    done = finished(out)
    # Seeds first, so that an interrupted run has every method at fewer draws.
    order = product(grid[3], grid[0], grid[2], grid[1])
    todo = [key for s, t, b, m in order if (key := (t, m, b, s)) not in done]
    for number, key in enumerate(todo, start=1):
        record = run_one(data, models, key)
        append(out, record)
        logger.info("%d/%d %s %.3f", number, len(todo), " ".join(key), record["macro_f1"])


def run_one(data: Path, models: Path, key: tuple[str, ...]) -> dict[str, str | int | float]:
    """Run and score one row."""
    task, (method, budget, seed) = TASKS[key[0]], key[1:]
    pool, test = read(data, task.file)
    shown = draw(names(pool, task.label_key), int(budget), int(seed))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = predict(method, Shown(data, models, task, shown, int(seed)))
    seconds = time.perf_counter() - start
    truth = names(test, task.label_key)
    return {
        **dict(zip(KEYS, key, strict=True)),
        "macro_f1": round(f1_score(truth, predicted, average="macro", zero_division=0), 6),
        "balanced_accuracy": round(balanced_accuracy_score(truth, predicted), 6),
        "seconds": round(seconds, 3),
        "n_pool": pool.n_obs,
        "n_shown": len(np.unique(shown)),
        "n_test": test.n_obs,
    }


def finished(path: Path) -> set[tuple[str, ...]]:
    """Read which rows a table holds, and cut off one that was half written."""
    if not path.exists():
        return set()
    text = path.read_bytes()
    path.write_bytes(text[: text.rfind(b"\n") + 1])
    if not path.stat().st_size:
        return set()
    return set(pd.read_csv(path, dtype=str)[list(KEYS)].itertuples(index=False, name=None))


def append(path: Path, record: dict[str, str | int | float]) -> None:
    """Add a row to the table."""
    is_new = not path.exists() or not path.stat().st_size
    with path.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(record)
