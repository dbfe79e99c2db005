"""The tables of the summary, from the rows of ``results.csv``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

BASELINE, NETWORK = "lr_z", "network"
BASELINE_MARGIN, NETWORK_MARGIN = 0.02, 0.01
ORDER = (
    "domainvi",
    "domainvi_bf16",
    "network",
    "network_conditional",
    "network_marginal",
    "network_wasserstein",
    "network_bf16",
    "scanvi",
    "scanvi_adversarial",
    "lr_source",
    "lr_z",
    "coral_lr",
    "linear_svm",
    "random_forest",
    "gradient_boosting",
    "majority",
)
_UNIT = ["task", "stress", "budget", "seed"]


def load(path: Path) -> pd.DataFrame:
    """Read results; budgets stay text, since some are percentages."""
    table = pd.read_csv(path, dtype={"budget": str})
    return table.drop_duplicates([*_UNIT, "method"], keep="last")


def is_count(budget: pd.Series) -> pd.Series:
    """Tell budgets of so many labels from percentages."""
    return ~budget.str.endswith("%")


def budget_value(budget: str) -> float:
    """Sort key of a budget."""
    return float(budget.removesuffix("%"))


def arrange(table: pd.DataFrame) -> pd.DataFrame:
    """Put methods in the usual order and budgets in that of their size."""
    rows = [method for method in ORDER if method in table.index]
    return table.loc[rows, sorted(table.columns, key=budget_value)]


def task_means(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Mean over seeds: one row for each method, family, task and budget."""
    keys = ["method", "family", "task", "budget"]
    return table.groupby(keys, as_index=False)[score].mean()


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out methods at budgets where they lack a task that others were run on."""
    ran = table.groupby(["method", "budget"])["task"].transform("nunique")
    return table[ran == table.groupby("budget")["task"].transform("nunique")]


def method_means(table: pd.DataFrame, score: str, *, by_family: bool = False) -> pd.DataFrame:
    """Average a score for each method and budget; blank where a method lacks a task.

    Parameters
    ----------
    table
        Rows of one stress.
    score
        Column to average, over seeds first and then over tasks.
    by_family
        Whether each family weighs the same, rather than each task.
    """
    cells = task_means(complete(table), score)
    if by_family:
        cells = cells.groupby(["method", "family", "budget"], as_index=False)[score].mean()
    wide = cells.pivot_table(index="method", columns="budget", values=score, aggfunc="mean")
    return arrange(wide)


def per_task(table: pd.DataFrame, budget: str, score: str = "macro_f1") -> pd.DataFrame:
    """Mean over seeds of each task and method, at one budget."""
    cells = task_means(table[table["budget"] == budget], score)
    wide = cells.pivot_table(index=["family", "task"], columns="method", values=score)
    return wide[[method for method in ORDER if method in wide]]


def negative_transfer(table: pd.DataFrame, reference: str, margin: float) -> pd.DataFrame:
    """Share of tasks and seeds in which a method is worse than a reference by over a margin.

    Parameters
    ----------
    table
        Rows of one stress.
    reference
        Method to compare with, unit by unit.
    margin
        Loss of macro-F1 that still counts as level.
    """
    wide = complete(table).pivot_table(index=_UNIT, columns="method", values="macro_f1")
    if reference not in wide:
        return pd.DataFrame()
    gain = wide.drop(columns=reference).sub(wide[reference], axis=0).dropna(how="all")
    long = gain.stack().rename("gain").reset_index()
    long["worse"] = (long["gain"] < -margin - 1e-9).astype(float)
    return arrange(long.pivot_table(index="method", columns="budget", values="worse"))


def worst_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Worst seed less the mean over seeds, on the task where that is worst."""
    keys = ["method", "budget", "task"]
    spread = (
        complete(table).groupby(keys)["macro_f1"].agg(lambda f1: f1.min() - f1.mean()).reset_index()
    )
    return arrange(
        spread.pivot_table(index="method", columns="budget", values="macro_f1", aggfunc="min")
    )


def to_markdown(table: pd.DataFrame, *, percent: bool = True, digits: int = 1) -> str:
    """Write a table as Markdown.

    Parameters
    ----------
    table
        Numbers; the index becomes the first columns.
    percent
        Whether to write hundredths as ones.
    digits
        Digits after the point.
    """
    names = [str(name) for name in table.index.names]
    lines = ["| " + " | ".join([*names, *map(str, table.columns)]) + " |"]
    lines.append("|" + "---|" * len(names) + "---:|" * table.shape[1])
    for key, row in table.iterrows():
        labels = [str(part) for part in (key if isinstance(key, tuple) else (key,))]
        cells = [_cell(value * (100 if percent else 1), digits) for value in row]
        lines.append("| " + " | ".join([*labels, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: float, digits: int) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"
