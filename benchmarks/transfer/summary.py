"""Write what ``results.csv`` says: ``python -m benchmarks.transfer.summary``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.transfer import tables
from benchmarks.transfer.families import Choice, choose
from benchmarks.transfer.figure import draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

HERE = Path(__file__).parent
OURS = ("domainvi", "network")
_SCORES = (
    ("balanced_accuracy", "Balanced accuracy", True, 1),
    ("accuracy", "Accuracy", True, 1),
    ("ece", "Expected calibration error, 15 bins of equal mass", False, 3),
    ("nll", "Negative log-likelihood", False, 3),
    ("worst_recall", "Lowest recall of a class", True, 1),
    ("seconds", "Seconds, one thread", False, 1),
)


def summarise(table: pd.DataFrame) -> str:
    """Write all tables as Markdown.

    Parameters
    ----------
    table
        Rows of ``results.csv``, as :func:`benchmarks.transfer.tables.load` reads them.
    """
    table = table[tables.is_count(table["budget"])]
    plain = table[table["stress"] == "plain"]
    main = plain[~plain["task"].str.startswith("loco_")]
    loco = plain[plain["task"].str.startswith("loco_")]
    parts = [
        "# Label transfer between cohorts\n",
        "Written by `python -m benchmarks.transfer.summary` from `results.csv`. Columns are labels "
        "of each class shown in the target. Macro-F1, accuracy and recall are in percent. A method "
        "has no mean at a budget at which it was not run on every task.\n",
        _coverage(table),
        "![Learning curves and single tasks](summary.png)\n",
    ]
    if len(main):
        parts += [_headline(main), _scores(main), _tasks(main)]
    if len(loco):
        parts += [_section("Leave one cohort out: macro-F1", tables.method_means(loco, "macro_f1"))]
        parts += [_risks(loco)]
    for stress in sorted(set(table["stress"]) - {"plain"}):
        part = table[table["stress"] == stress]
        means = tables.method_means(part, "macro_f1")
        parts += [_section(f"Stress `{stress}`: macro-F1", means, level=2)]
        parts += [_section("ECE", tables.method_means(part, "ece"), percent=False, digits=3)]
        parts += [_risks(part)]
    return "\n".join(parts)


def _section(
    title: str, table: pd.DataFrame, *, level: int = 3, percent: bool = True, digits: int = 1
) -> str:
    if table.empty:
        return ""
    body = tables.to_markdown(table, percent=percent, digits=digits)
    return f"{'#' * level} {title}\n\n{body}"


def _coverage(table: pd.DataFrame) -> str:
    n_seeds = table.groupby("method")["seed"].nunique()
    few = ", ".join(f"{method} {n}" for method, n in n_seeds.items() if n < n_seeds.max())
    remark = f" Fewer seeds: {few}." if few else ""
    return (
        f"{table['task'].nunique()} tasks in {table['family'].nunique()} families, "
        f"{table['method'].nunique()} methods, up to {n_seeds.max()} draws of labels.{remark}\n"
    )


def _headline(table: pd.DataFrame) -> str:
    task = tables.method_means(table, "macro_f1")
    family = tables.method_means(table, "macro_f1", by_family=True)
    return "\n".join(
        [
            _section("Macro-F1, mean over tasks", task, level=2),
            _section("Macro-F1, mean over families", family, level=2),
            _left_out(table),
            _risks(table),
        ]
    )


def _left_out(table: pd.DataFrame) -> str:
    """Say what choosing the best method would have been worth, at each budget."""
    table = tables.complete(table)
    lines = [
        "## Choice with families left out\n",
        "The method with the best mean over the other families, scored on the family left out.\n",
        "| budget | candidates | left-out mean | best in sample | in-sample mean | optimism |",
        "|---|---|---:|---|---:|---:|",
    ]
    for budget in sorted(table["budget"].unique(), key=tables.budget_value):
        rows = table[table["budget"] == budget]
        names = [name for name in rows["method"].unique() if not name.endswith("_bf16")]
        ours = [name for name in names if name.startswith(OURS)]
        peers = [name for name in names if name not in ours]
        for title, names in (("peers", peers), ("DomainVI variants", ours)):
            if len(names) > 1 and rows["family"].nunique() > 1:
                lines.append(_choice_line(budget, title, choose(rows, names)))
    return "\n".join(lines) + "\n"


def _choice_line(budget: str, title: str, choice: Choice) -> str:
    out, best = 100 * choice.left_out_mean, 100 * choice.in_sample_mean
    return (
        f"| {budget} | {title} | {out:.1f} | {choice.in_sample} | {best:.1f} | {best - out:.1f} |"
    )


def _risks(table: pd.DataFrame) -> str:
    baseline = tables.negative_transfer(table, tables.BASELINE, tables.BASELINE_MARGIN)
    network = tables.negative_transfer(table, tables.NETWORK, tables.NETWORK_MARGIN)
    return "\n".join(
        [
            _section("Negative transfer: % of (task, seed) over 2 points below `lr_z`", baseline),
            _section(
                "Negative transfer: % of (task, seed) over 1 point below the un-adapted network",
                network,
            ),
            _section("Worst seed less mean, on the worst task, points", tables.worst_seed(table)),
        ]
    )


def _scores(table: pd.DataFrame) -> str:
    return "\n".join(
        _section(title, tables.method_means(table, score), percent=percent, digits=digits)
        for score, title, percent, digits in _SCORES
    )


def _tasks(table: pd.DataFrame) -> str:
    budgets: Sequence[str] = sorted(table["budget"].unique(), key=tables.budget_value)
    shown = [budget for budget in ("0", "5") if budget in budgets] or budgets[:1]
    return "\n".join(
        _section(f"Macro-F1 of each task, budget {budget}", tables.per_task(table, budget))
        for budget in shown
    )


def main(arguments: list[str] | None = None) -> int:
    """Write ``summary.md`` and ``summary.png``."""
    parser = argparse.ArgumentParser("python -m benchmarks.transfer.summary", description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "results.csv")
    parser.add_argument("--out", type=Path, default=HERE, help="folder")
    options = parser.parse_args(arguments)
    table = tables.load(options.results)
    (options.out / "summary.md").write_text(summarise(table), encoding="utf-8")
    draw(table).savefig(options.out / "summary.png", dpi=150)
    return 0


if __name__ == "__main__":
    sys.exit(main())
