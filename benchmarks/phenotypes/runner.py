"""Run trials, a few rows of the table each, and pick up where an earlier run stopped."""

from __future__ import annotations

import itertools
import logging
import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error, r2_score

from benchmarks.phenotypes.methods import METHODS
from benchmarks.phenotypes.trials import build, scored_targets, units
from domainvi.tl import score_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

KEYS = ["setting", "protocol", "unit", "seed", "method"]
SCORES = ["macro_f1", "balanced_accuracy", "auroc", "ece", "r2", "mae", "coverage"]
COLUMNS = [*KEYS, "target", "n_scored", *SCORES, "seconds"]
# Half the width of a 90 % interval, in standard errors.
Z_90 = 1.645


class Job(NamedTuple):
    """What one method does on one trial."""

    setting: str
    protocol: str
    unit: str
    seed: int
    method: str


def plan(
    settings: Sequence[str], protocols: Sequence[str], methods: Sequence[str], seeds: Sequence[int]
) -> list[Job]:
    """List all jobs; an unseen cohort is only met where a whole cohort is held out."""
    grid = itertools.product(protocols, seeds, settings)
    return [
        Job(setting, protocol, unit, seed, method)
        for protocol, seed, setting in grid
        for unit in units(setting, protocol)
        for method in methods
        if method != "domainvi_unseen" or protocol == "leave_one_domain_out"
    ]


def run_job(data: Path, job: Job) -> Iterator[dict[str, Any]]:
    """Yield a row for each target, and one for the main phenotype where a method predicts it."""
    trial = build(data, job.setting, job.protocol, job.unit, job.seed)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, main = METHODS[job.method](trial, job.seed)
    seconds = round(time.perf_counter() - start, 2)
    for target, rows in scored_targets(trial) if found else ():
        truth, out = trial.truth[target].iloc[rows], found[target].iloc[rows]
        scores = score_numbers(truth, out) if "value" in out else score_classes(truth, out)
        yield {
            **job._asdict(),
            "target": target,
            "n_scored": len(rows),
            **{k: round(v, 5) for k, v in scores.items()},
            "seconds": seconds,
        }
    if main is not None:
        size = {"n_scored": int(trial.scored.sum()), "seconds": seconds}
        yield {**job._asdict(), "target": "main", **size, "macro_f1": round(main, 5)}


def score_classes(truth: pd.Series, p: pd.DataFrame) -> dict[str, float]:
    """Score probabilities of classes."""
    code = pd.Categorical(truth, categories=list(p.columns)).codes.astype(np.int64)
    scores = score_probabilities(code, p.to_numpy(dtype=np.float64))
    return {name: scores[name] for name in ("macro_f1", "balanced_accuracy", "auroc", "ece")}


def score_numbers(truth: pd.Series, out: pd.DataFrame) -> dict[str, float]:
    """Score values, and how many lie in the 90 % interval of their standard error."""
    y, value = truth.to_numpy(dtype=float), out["value"].to_numpy(dtype=float)
    scores = {"r2": r2_score(y, value), "mae": mean_absolute_error(y, value)}
    if "standard_error" in out:
        inside = np.abs(y - value) <= Z_90 * out["standard_error"].to_numpy(dtype=float)
        scores["coverage"] = float(inside.mean())
    return scores


def run(data: Path, jobs: Sequence[Job], out: Path, minutes: float | None = None) -> int:
    """Run what the table lacks, for about so many minutes; return how many jobs are left."""
    done: set[Job] = set()
    if out.exists():
        table = pd.read_csv(out)
        done = {Job(*row) for row in table[KEYS].itertuples(index=False, name=None)}
    todo = [job for job in jobs if job not in done]
    start = time.monotonic()
    for number, job in enumerate(todo):
        if minutes is not None and time.monotonic() - start > 60 * minutes:
            return len(todo) - number
        table = pd.DataFrame(list(run_job(data, job)), columns=COLUMNS)
        table.to_csv(out, mode="a", header=not out.exists(), index=False)
        logger.info("%d/%d %s", number + 1, len(todo), " ".join(map(str, job)))
    return 0
