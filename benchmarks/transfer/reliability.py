"""Whether confidence means what it says: ``python -m benchmarks.transfer.reliability``.

One task of each family, seed 0, at budgets 0 and 5. ``reliability.csv`` holds rows and right
answers by bin of confidence, and ``reliability.png`` draws them.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from benchmarks.transfer.figure import STYLE
from benchmarks.transfer.methods import METHODS
from benchmarks.transfer.tasks import Task, select_tasks
from benchmarks.transfer.units import build_unit
from domainvi.metrics import reliability_curve

HERE = Path(__file__).parent
N_BINS = 10
BUDGETS = ("0", "5")
COMPARED = ("domainvi", "lr_z")
# Of each family the task that takes least time.
TASKS = (
    "platform_array_to_rna",
    "tcga_tumor_to_gtex",
    "tn_luad_to_kirc",
    "mirna_ga_to_hiseq",
    "pbmc_5p_to_purified",
    "autoimmune_pbmc_to_blood",
    "colon_adenoma",
    "lung_stage_harvard_to_michigan",
    "ovarian_histology_to_GSE51088",
    "ovarian_subtype_small_to_tcga",
    "tissue_ccle_to_tcga",
    "mirna_tn_luad_to_kirc",
    "sex_uvm_to_acc",
)


def bins(data: Path, task: Task, method: str, budget: str) -> pd.DataFrame:
    """Run a method and count rows and right answers by bin of confidence."""
    unit = build_unit(data, task, "plain", budget, 0)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        probs = METHODS[method](unit, 0)
    curve = reliability_curve(unit.truth[unit.scored], probs[unit.scored], N_BINS, "uniform")
    found = pd.DataFrame(vars(curve))
    found["right"] = (found["accuracy"] * found["count"]).round().astype(int)
    keys = {"task": task.name, "family": task.family, "method": method, "budget": budget}
    return found.assign(**keys)[[*keys, "confidence", "count", "right"]]


def calibration_errors(table: pd.DataFrame) -> pd.Series:
    """Average the expected calibration error over tasks, for each method and budget."""
    keys = ["method", "budget", "task"]
    weight = table["count"] / table.groupby(keys)["count"].transform("sum")
    gap = (table["right"] / table["count"] - table["confidence"]).abs()
    by_task = (weight * gap).groupby([table[key] for key in keys]).sum()
    return by_task.groupby(["method", "budget"]).mean()


def pool(table: pd.DataFrame) -> pd.DataFrame:
    """Pool the bins of several tasks, each task with the same weight.

    Parameters
    ----------
    table
        Rows of one method and one budget.

    Returns
    -------
    One row for each bin: mean confidence, share of right answers, share of the rows.
    """
    weight = table["count"] / table.groupby("task")["count"].transform("sum")
    place = np.ceil(table["confidence"] * N_BINS - 1e-9).astype(int)
    share = table["right"] / table["count"]
    parts = pd.DataFrame(
        {"confidence": weight * table["confidence"], "accuracy": weight * share, "rows": weight}
    )
    sums = parts.groupby(place).sum()
    means = sums[["confidence", "accuracy"]].div(sums["rows"], axis=0)
    return means.assign(rows=sums["rows"] / table["task"].nunique())


def draw(table: pd.DataFrame) -> Figure:
    """Draw a reliability diagram for each budget, over the share of rows in each bin."""
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axes = figure.subplots(2, len(BUDGETS), sharex=True, sharey="row", height_ratios=[3, 1])
    errors = calibration_errors(table)
    for (diagram, rows), budget in zip(axes.T, BUDGETS, strict=True):
        diagram.plot([0, 1], [0, 1], color="0.6", lw=1)
        for i, method in enumerate(COMPARED):
            part = table[(table["method"] == method) & (table["budget"] == budget)]
            color, marker, dashes = STYLE[method]
            size = 4 + 40 * part["count"] / part.groupby("task")["count"].transform("sum")
            share = part["right"] / part["count"]
            diagram.scatter(part["confidence"], share, s=size, color=color, alpha=0.2, lw=0)
            pooled = pool(part)
            label = f"{method}, ECE {errors[method, budget]:.3f}"
            line = {"color": color, "marker": marker, "ls": dashes, "label": label}
            diagram.plot(pooled["confidence"], pooled["accuracy"], **line)
            left = (pooled.index - 1 + 0.1 + 0.4 * i) / N_BINS
            rows.bar(left, pooled["rows"], width=0.4 / N_BINS, align="edge", color=color)
        diagram.set_title(f"{budget} labels of each class shown", fontsize="medium")
        diagram.legend(frameon=False, fontsize="small", loc="upper left")
        rows.set_xlabel("confidence")
        for panel in (diagram, rows):
            panel.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set(ylabel="share of right answers", xlim=(0, 1), ylim=(-0.02, 1.02))
    axes[1, 0].set_ylabel("share of rows")
    return figure


def main() -> None:
    """Measure, write and draw; with ``--draw`` draw what was measured."""
    parser = argparse.ArgumentParser("python -m benchmarks.transfer.reliability")
    parser.add_argument("--data", type=Path, help="folder with tasks.csv and the h5ad files")
    parser.add_argument("--draw", action="store_true", help="draw reliability.csv as it is")
    options = parser.parse_args()
    if not options.draw:
        if options.data is None:
            parser.error("--data is needed to measure")
        jobs = [
            (task, method, budget)
            for task in select_tasks(options.data, list(TASKS))
            for budget in BUDGETS
            for method in COMPARED
        ]
        table = pd.concat([bins(options.data, *job) for job in jobs], ignore_index=True)
        table.round(4).to_csv(HERE / "reliability.csv", index=False)
    table = pd.read_csv(HERE / "reliability.csv", dtype={"budget": str})
    draw(table).savefig(HERE / "reliability.png", dpi=110)
    print(calibration_errors(table).round(3).to_string())


if __name__ == "__main__":
    main()
