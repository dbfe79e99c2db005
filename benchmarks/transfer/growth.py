"""Cohorts of five to all rows, whole or of one class, read by a model that never saw them.

Run as ``python -m benchmarks.transfer.growth --data DIR``; adds to ``growth.csv``, prints the means
and draws ``growth.png``. For each of the 48 tasks one model is trained on the source alone. Rows of
the target, all of them or those of one class, come in a random order, and the first 5, 10, 20, ...
of them are given to ``predict`` as a new cohort, the larger with the smaller in it. The figure is
accuracy, and beside it that of logistic regression in the source's scaling, which reads each row
alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

import domainvi as dv
from benchmarks.transfer.resampling import values
from benchmarks.transfer.tasks import smallest_first
from benchmarks.transfer.units import Unit, build_unit
from domainvi.tl import TransferData, lr_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from benchmarks.transfer.tasks import Task

HERE = Path(__file__).parent
SIZES = (5, 10, 20, 40, 80, 160, 320)
DRAWS = 2
MAX_ROWS = 640


def sizes(n: int) -> list[int]:
    """Sizes that a cohort of ``n`` rows goes through."""
    return [size for size in SIZES if size < n] + [min(n, MAX_ROWS)]


def orders(unit: Unit, draw: int) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield what the cohort is made of, and its rows in a random order: whole, and each class."""
    rng, target = np.random.default_rng(draw), np.flatnonzero(~unit.is_source)
    yield "whole", rng.permutation(target)
    for c, name in enumerate(unit.classes):
        yield name, rng.permutation(target[unit.truth[target] == c])


def rows(data: Path, task: Task) -> Iterator[dict[str, object]]:
    """Train on the source, and yield a row for each cohort."""
    unit = build_unit(data, task, "plain", "0", 0)
    source = unit.adata[unit.is_source].copy()
    cohorts = "domain"
    dv.DomainVI.setup_anndata(source, batch_key=cohorts, labels_key="label")
    model = dv.DomainVI(source, seed=0)
    model.train(accelerator="cpu", enable_progress_bar=False)
    x = values(unit)
    everything = TransferData(x, unit.domain, unit.label, unit.is_source, len(unit.classes))
    alone = lr_source(everything).argmax(axis=1) == unit.truth
    names = np.array(unit.classes)[unit.truth]
    for draw in range(DRAWS):
        for made_of, order in orders(unit, draw):
            for n in sizes(len(order)):
                some = order[:n]
                right = model.predict(unit.adata[some].copy()) == names[some]
                yield {
                    **{"task": task.name, "family": task.family, "batch": task.batch},
                    **{"made_of": made_of, "draw": draw, "n": n, "all": n == len(order)},
                    **{"domainvi": right.mean(), "lr_source": alone[some].mean()},
                }


def curves(table: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy by size; a cohort that has no more rows keeps its last figure."""
    kind = np.where(table["made_of"] == "whole", "whole", "one class")
    wide = table.assign(kind=kind).pivot_table(
        index=["kind", "task", "made_of"], columns="n", values=["domainvi", "lr_source"]
    )
    shown = {
        m: wide[m].ffill(axis=1).reindex(columns=[*SIZES, MAX_ROWS], method="ffill")
        for m in ("domainvi", "lr_source")
    }
    by_task = {m: v.groupby(["kind", "task"]).mean() for m, v in shown.items()}
    return pd.concat({m: v.groupby("kind").mean() for m, v in by_task.items()}, names=["method"])


def figure(table: pd.DataFrame) -> Figure:
    """Accuracy over rows of the cohort, whole and of one class."""
    out = Figure(figsize=(8, 3.2), layout="constrained")
    styles = {"domainvi": ("#000000", "o", "-"), "lr_source": ("#56b4e9", "<", "--")}
    means = 100 * curves(table)
    for axes, kind in zip(out.subplots(1, 2, sharey=True), ("whole", "one class"), strict=True):
        for method, (colour, marker, dashes) in styles.items():
            line = means.loc[(method, kind)]
            axes.plot(line.index, line, color=colour, marker=marker, ls=dashes, label=method)
        axes.set_xscale("log", base=2)
        axes.set_xticks(SIZES, [str(n) for n in SIZES])
        axes.set_xlabel("rows of the cohort")
        axes.set_title("as it is" if kind == "whole" else "one class alone", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", lw=0.5, alpha=0.5)
        axes.legend(frameon=False)
    out.axes[0].set_ylabel("accuracy, mean over tasks (%)")
    return out


def main() -> None:
    """Measure what is missing, the smallest tasks first, write and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer.growth")
    parser.add_argument("--data", type=Path, required=True)
    data, out = parser.parse_args().data, HERE / "growth.csv"
    done = set(pd.read_csv(out)["task"]) if out.exists() else set()
    for task in smallest_first(data, done):
        with threadpool_limits(1):
            found = pd.DataFrame(rows(data, task)).round(4)
        found.to_csv(out, mode="a", header=not out.exists(), index=False)
    table = pd.read_csv(out)
    print((100 * curves(table)).round(1).to_string())
    figure(table).savefig(HERE / "growth.png", dpi=150)


if __name__ == "__main__":
    main()
