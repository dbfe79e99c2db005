"""Coverage of prediction sets: on rows like the labelled ones, and in another cohort.

Three tenths of the source's rows are hidden and stand for a cohort that is like the source; the
target is what shift makes of it. The linear part alone is fitted, by whose probabilities the sets
go, to a subsample where there are many rows.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.transfer.resampling import training_rows
from benchmarks.transfer.resampling import values as log_values
from benchmarks.transfer.tasks import select_tasks
from benchmarks.transfer.units import build_unit
from domainvi.linear import fit_linear_ensemble, subsample
from domainvi.trust import PredictionSets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.transfer.units import Unit

ALPHA = 0.1
BUDGETS = ("0", "5")
SEEDS = (0,)
HIDDEN = 0.3
MAX_ROWS = 1000


def rows(data: Path) -> Iterator[dict[str, Any]]:
    """Yield one row a task, budget, seed and kind of row."""
    for seed, task, budget in product(SEEDS, select_tasks(data, ["all"]), BUDGETS):
        with threadpool_limits(1):
            found = measure(build_unit(data, task, "plain", budget, seed), seed)
        about = {"task": task.name, "family": task.family, "batch": task.batch}
        for kind, values in found.items():
            yield {**about, "budget": budget, "seed": seed, "rows": kind, **values}


def measure(unit: Unit, seed: int) -> dict[str, dict[str, float]]:
    """Coverage and size of the sets of hidden source rows and of scored target rows."""
    kept = np.zeros(len(unit.label), dtype=bool)
    kept[subsample(unit.domain, unit.label, seed, MAX_ROWS)] = True
    whole = training_rows(unit, log_values(unit), kept)
    truth, in_source = unit.truth[kept], unit.is_source[kept]
    hidden = in_source & (np.random.default_rng(seed).random(len(truth)) < HIDDEN)
    part = replace(whole, label=np.where(hidden, -1, whole.label))
    fit = fit_linear_ensemble(part)
    known = np.flatnonzero(np.isfinite(fit.held_out[:, 0]))
    shift = np.exp(fit.log_prior)[part.domain[known]]
    p = fit.held_out[known] * shift
    p /= p.sum(axis=1, keepdims=True)
    prior = np.exp(fit.log_prior) / part.n_classes
    prior[~part.partly_labelled] = np.nan
    sets = PredictionSets.fit(p, part.label[known], part.domain[known], prior)
    out = {}
    for kind, some in (("source-like", hidden), ("target", unit.scored[kept] & ~in_source)):
        probs, domain = fit.probs[some], part.domain[some]
        found = sets.contains(probs, domain, ALPHA)
        likeliest = np.eye(part.n_classes, dtype=bool)[probs.argmax(axis=1)]
        above = 1 - probs <= levels(sets, domain)[:, None]
        out[kind] = {"n_rows": int(some.sum()), "n_labels": len(known)}
        out[kind] |= figures(found, above, likeliest, truth[some])
    return out


def levels(sets: PredictionSets, domain: NDArray[np.int64]) -> NDArray[np.float64]:
    """Level of each row."""
    every = np.ones(len(sets.score), dtype=bool)
    own = {d: sets.has_own(d, ALPHA) for d in np.unique(domain)}
    level = {d: sets._level(sets.domain == d if own[d] else every, ALPHA) for d in own}
    return np.array([level[d] for d in domain])


def figures(
    found: NDArray[np.bool_],
    above: NDArray[np.bool_],
    likeliest: NDArray[np.bool_],
    truth: NDArray[np.int64],
) -> dict[str, float]:
    """Coverage of sets, of classes above the level and of the likeliest class; sizes of sets."""
    size, place = found.sum(axis=1), (np.arange(len(truth)), truth)
    return {
        "coverage": float(found[place].mean()),
        "above_level": float(above[place].mean()),
        "accuracy": float(likeliest[place].mean()),
        "mean_size": float(size.mean()),
        "one_class": float((size == 1).mean()),
    }
