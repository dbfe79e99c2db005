"""Whether suggested labels are worth more than random ones.

Run as ``python -m benchmarks.transfer.suggested --data DIR``; adds to ``suggested.csv`` and prints
the means. One half of the target may be labelled, five rows for each class in the mean, and the
other half is scored. The linear part alone is fitted, to a subsample where there are many rows;
its answers without target labels choose the rows, in the components of its standardised rows.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.transfer.draws import draw_share
from benchmarks.transfer.resampling import training_rows, values
from benchmarks.transfer.tasks import smallest_first
from benchmarks.transfer.units import build_unit
from domainvi.linear import components, fit_linear_ensemble, standardise, subsample
from domainvi.metrics import macro_f1
from domainvi.tl import draw_per_class
from domainvi.trust import suggest_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from benchmarks.transfer.tasks import Task

HERE = Path(__file__).parent
PER_CLASS = 5
DRAWS = 5
MAX_ROWS = 600
N_COMPONENTS = 20


def rows(data: Path, task: Task) -> Iterator[dict[str, object]]:
    """Yield one row a draw and way to choose."""
    unit = build_unit(data, task, "plain", "0", 0)
    kept = np.zeros(len(unit.label), dtype=bool)
    kept[subsample(unit.domain, unit.label, 0, MAX_ROWS)] = True
    part, truth = training_rows(unit, values(unit), kept), unit.truth[kept]
    before = fit_linear_ensemble(part)
    z = components(standardise(part.x, part.domain, before.statistics, 1.0), N_COMPONENTS)[0]
    target, n = np.flatnonzero(~part.in_source), PER_CLASS * part.n_classes
    each = np.arange(len(truth))
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        pool, scored = draw_share(truth, target, each, 1.0, rng)
        chosen: dict[str, NDArray[np.int64]] = {
            "random": rng.choice(pool, min(n, len(pool)), replace=False),
            "random, by true class": draw_per_class(truth, pool, each, PER_CLASS, rng).shown,
            "suggested": pool[suggest_rows(z[pool], before.probs[pool], n, draw)[0]],
        }
        for method, shown in chosen.items():
            label = part.label.copy()
            label[shown] = truth[shown]
            predicted = fit_linear_ensemble(replace(part, label=label)).probs.argmax(axis=1)
            yield {
                **{"task": task.name, "family": task.family, "batch": task.batch},
                **{"method": method, "draw": draw, "n_shown": len(shown)},
                "macro_f1": round(macro_f1(truth[scored], predicted[scored]), 4),
            }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Average macro-F1 and its standard deviation over draws, over tasks that are complete."""
    whole = table.groupby("task")["macro_f1"].transform("size") == 3 * DRAWS
    by_task = table[whole].groupby(["method", "task"])["macro_f1"].agg(["mean", "std"])
    return by_task.groupby("method").agg(
        tasks=("mean", "size"), macro_f1=("mean", "mean"), spread=("std", "mean")
    )


def main() -> None:
    """Measure what is missing, the smallest tasks first, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer.suggested")
    parser.add_argument("--data", type=Path, required=True)
    data, out = parser.parse_args().data, HERE / "suggested.csv"
    done = set(pd.read_csv(out)["task"]) if out.exists() else set()
    for task in smallest_first(data, done):
        with threadpool_limits(1):
            found = pd.DataFrame(rows(data, task))
        found.to_csv(out, mode="a", header=not out.exists(), index=False)
    table = pd.read_csv(out)
    print(summary(table).round(4).to_string())
    print(table.groupby("batch").apply(summary, include_groups=False).round(4).to_string())


if __name__ == "__main__":
    main()
