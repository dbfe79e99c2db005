"""Learning curves on the seed paper's grid: ``python -m benchmarks.transfer.percent``.

The rows of ``percent.csv`` show a share of one half of the target and score the other half, for one
pair of cohorts; ``python -m benchmarks.transfer --budgets paper --out percent.csv`` adds to them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from benchmarks.transfer import tables
from benchmarks.transfer.figure import STYLE

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).parent


def curves(table: pd.DataFrame) -> pd.DataFrame:
    """Mean macro-F1 over seeds, one row for each method and one column for each percentage."""
    shares = table[~tables.is_count(table["budget"])]
    wide = tables.method_means(shares, "macro_f1")
    return wide.rename(columns=tables.budget_value)


def draw(table: pd.DataFrame) -> Figure:
    """Draw the curves of a single task, its seeds as points."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    for method, row in (100 * curves(table)).iterrows():
        color, marker, dashes = STYLE[str(method)]
        seeds = table[table["method"] == method]
        place = seeds["budget"].map(tables.budget_value)
        axes.scatter(place, 100 * seeds["macro_f1"], s=6, color=color, alpha=0.35, lw=0)
        style = {"color": color, "marker": marker, "ls": dashes, "ms": 4, "lw": 1.3}
        axes.plot(row.index, row, label=str(method), **style)
    axes.set_xscale("function", functions=(np.sqrt, np.square))
    axes.set_xlim(0.5, 101)
    axes.set_xticks([1, 5, 10, 20, 40, 60, 80, 100])
    n_seeds = table["seed"].nunique()
    axes.set_xlabel("share of the target's learning half whose labels are shown (%)")
    axes.set_ylabel(f"macro-F1 on the other half, mean of {n_seeds} seeds (%)")
    axes.set_title(", ".join(table["task"].unique()), fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", lw=0.5, alpha=0.5)
    axes.legend(frameon=False, loc="lower right")
    return figure


def main(arguments: list[str] | None = None) -> None:
    """Draw ``percent.png`` from ``percent.csv``."""
    parser = argparse.ArgumentParser("python -m benchmarks.transfer.percent")
    parser.add_argument("--results", type=Path, default=HERE / "percent.csv")
    parser.add_argument("--out", type=Path, default=HERE, help="folder")
    options = parser.parse_args(arguments)
    table = tables.load(options.results)
    draw(table).savefig(options.out / "percent.png", dpi=110)
    wide = 100 * curves(table)[[1, 2, 5, 10, 20, 50, 100]]
    print(wide.round(1).to_string())


if __name__ == "__main__":
    main()
