"""Cohorts of another composition than the reference: the linear part beside plain classifiers.

Run as ``python -m benchmarks.transfer.composition --data DIR``; writes ``composition.csv`` and
prints the means. Each target is taken whole, cut to one of its classes (each in turn), to two of
them, and to nine rows in ten of one class. The figure is accuracy for one class, and macro-F1 over
the classes that are there otherwise. Nothing is labelled in the target.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from benchmarks.transfer.resampling import baseline, training_rows, values
from benchmarks.transfer.tasks import select_tasks
from benchmarks.transfer.units import Unit, build_unit
from domainvi.linear import fit_linear_ensemble, subsample
from domainvi.linear._row_experts import RowExperts, correlation, fit_row_experts, row_ranks
from domainvi.tl import TransferData, lr_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.transfer.tasks import Task
    from domainvi._checks import FloatArray

HERE = Path(__file__).parent
MAX_ROWS = 3000


def queries(task: Task) -> list[tuple[str, int]]:
    """Versions of a target with their seeds: whole, each class, two and nearly one of them."""
    k = len(task.classes)
    out = [("plain", 0), *(("one_class", c) for c in range(k))]
    out += [("two_classes", seed) for seed in range(4 if k > 2 else 0)]
    return [*out, *(("ninety_ten", c) for c in range(min(k, 4)))]


def scores(unit: Unit) -> dict[str, float]:
    """Score the linear part, experts of single rows and plain logistic regressions."""
    kept = np.zeros(len(unit.label), dtype=bool)
    kept[subsample(unit.domain, unit.label, 0, MAX_ROWS)] = True
    x = values(unit)
    rows = training_rows(unit, x, kept)
    fit = fit_linear_ensemble(rows)
    experts = fit_row_experts(rows)
    data = TransferData(x[kept], rows.domain, rows.label, unit.is_source[kept], rows.n_classes)
    found = {
        "linear_part": fit.probs,
        "single_rows": experts.predict(rows.x)[0],
        "singler": profile_correlation(experts, rows.x),
        "lr_ranks": rank_regression(experts, rows.x),
        "lr_z": baseline(unit, unit.label, kept),
        "lr_source": lr_source(data),
    }
    scored, out = unit.scored[kept], {"row_wise_share": fit.row_wise_share}
    truth = unit.truth[kept][scored]
    for name, probs in found.items():
        predicted = probs.argmax(axis=1)[scored]
        classes = np.unique(truth)
        one = len(classes) == 1
        out[name] = (
            float(np.mean(predicted == truth))
            if one
            else f1_score(truth, predicted, average="macro", labels=classes)
        )
    return out


def profile_correlation(experts: RowExperts, x: NDArray[np.float32]) -> FloatArray:
    """Correlation with class profiles on marker genes, in SingleR's manner, without fine-tuning."""
    similarity = correlation(row_ranks(x), experts.profile)
    similarity[:, ~experts.present] = -1.0
    return similarity


def rank_regression(experts: RowExperts, x: NDArray[np.float32]) -> FloatArray:
    """Scores of logistic regression on the ranks of genes within a row."""
    standardised = (row_ranks(x) - experts.centre) / experts.scale
    return standardised @ experts.coef[0] + experts.intercept[0]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer.composition")
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    out = []
    for task in select_tasks(arguments.data, ["all"]):
        for version, seed in queries(task):
            unit = build_unit(arguments.data, task, version, "0", seed)
            if not unit.scored.any():
                continue
            with threadpool_limits(1):
                found = scores(unit)
            key = {"task": task.name, "family": task.family, "batch": task.batch}
            out.append({**key, "version": version, "seed": seed, **found})
    table = pd.DataFrame(out).round(4)
    table.to_csv(HERE / "composition.csv", index=False)
    methods = ["linear_part", "single_rows", "singler", "lr_ranks", "lr_z", "lr_source"]
    table["new"] = np.where(table["batch"] == 3, "batch 3", "batches 1 and 2")
    print((100 * table.groupby(["version", "new"])[methods].mean()).round(1).to_string())


if __name__ == "__main__":
    main()
