"""Learning curves and single tasks in one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.transfer import tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart with any colour vision; markers and dashes differ too.
STYLE = {
    "domainvi": ("#000000", "o", "-"),
    "network": ("#7f7f7f", "s", "-"),
    "network_conditional": ("#7f7f7f", "v", "-."),
    "network_marginal": ("#7f7f7f", "p", "--"),
    "network_wasserstein": ("#7f7f7f", "*", ":"),
    "scanvi": ("#cc79a7", "v", "-"),
    "scanvi_adversarial": ("#cc79a7", "^", "--"),
    "lr_source": ("#56b4e9", "<", "-"),
    "lr_z": ("#0072b2", "D", "-"),
    "coral_lr": ("#009e73", "P", "-"),
    "linear_svm": ("#0072b2", ">", "--"),
    "random_forest": ("#d55e00", "X", "-"),
    "gradient_boosting": ("#e69f00", "h", "-"),
}
_DOTS = ("domainvi", "network", "scanvi", "lr_source", "lr_z", "coral_lr", "random_forest")


def draw(table: pd.DataFrame) -> Figure:
    """Draw mean macro-F1 over budgets, and every task at the smallest budget.

    Parameters
    ----------
    table
        Rows of ``results.csv``; only the plain tasks of ``tasks.csv`` are drawn.
    """
    is_main = (table["stress"] == "plain") & ~table["task"].str.startswith("loco_")
    table = table[is_main & tables.is_count(table["budget"])]
    n_tasks = table["task"].nunique()
    figure = Figure(figsize=(12, max(4.0, 1.6 + 0.24 * n_tasks)), layout="constrained")
    curves, dots = figure.subplots(1, 2, width_ratios=[1, 1.2])
    _draw_curves(curves, table)
    _draw_dots(dots, table)
    return figure


def _draw_curves(axes: Axes, table: pd.DataFrame) -> None:
    means = 100 * tables.method_means(table, "macro_f1")
    means = means.loc[[name for name in means.index if name in STYLE]]
    place = np.arange(means.shape[1])
    for method, row in means.iterrows():
        color, marker, dashes = STYLE[str(method)]
        style: dict[str, Any] = {"color": color, "marker": marker, "ls": dashes, "ms": 6}
        axes.plot(place, row, lw=2.2 if method == "domainvi" else 1.2, label=str(method), **style)
    axes.set_xticks(place, means.columns)
    axes.set_xlabel("labels of each class shown in the target")
    axes.set_ylabel("macro-F1, mean over tasks (%)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", lw=0.5, alpha=0.5)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _draw_dots(axes: Axes, table: pd.DataFrame) -> None:
    budget = min(table["budget"].unique(), key=tables.budget_value)
    cells = 100 * tables.per_task(table, budget)
    reference = cells.get(tables.BASELINE)
    if reference is not None:
        cells = cells.loc[reference.sort_values().index]
    place = np.arange(len(cells))
    for method in [name for name in _DOTS if name in cells]:
        color, marker, _ = STYLE[method]
        axes.scatter(cells[method], place, color=color, marker=marker, s=26, label=method)
    axes.set_yticks(place, cells.index.get_level_values("task"), fontsize=7)
    axes.set_xlabel(f"macro-F1 with {budget} labels of each class (%)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", lw=0.5, alpha=0.4)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
