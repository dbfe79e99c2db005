"""How much of a figure is the luck of the rows: refit the linear part on 80 % of them.

Run as ``python -m benchmarks.transfer.resampling --data DIR``; writes ``resampling.csv`` and prints
the means. A recipe that was chosen on fixed data can owe points to exactly these rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.transfer.tasks import select_tasks
from benchmarks.transfer.units import Unit, build_unit
from domainvi.data import log_normalize, prepare_values, variable_genes
from domainvi.linear import TrainingRows, fit_linear_ensemble, source_domains
from domainvi.metrics import macro_f1
from domainvi.tl import TransferData, lr_z

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent
SHARE = 0.8
REPEATS = 5


def values(unit: Unit) -> NDArray[np.float32]:
    """Log values of the most variable genes, counts at the median library size."""
    x = unit.adata.X.toarray() if hasattr(unit.adata.X, "toarray") else np.asarray(unit.adata.X)
    if unit.counts:
        library = x.sum(axis=1, keepdims=True)
        x = np.log1p(x / np.maximum(library, 1) * np.median(library))
    logs = log_normalize(unit.adata.X) if unit.counts else x
    return x[:, variable_genes(logs, unit.domain)].astype(np.float32)


def training_rows(
    unit: Unit, x: NDArray[np.float32], kept: NDArray[np.bool_] | None = None
) -> TrainingRows:
    """Rows as the linear part takes them, all or some."""
    kept = np.ones(len(x), dtype=bool) if kept is None else kept
    codes, domain = np.unique(unit.domain[kept], return_inverse=True)
    label = unit.label[kept]
    is_source = source_domains(domain, label, len(codes))
    return TrainingRows(x[kept], domain, label, is_source, len(unit.classes))


def baseline(
    unit: Unit, label: NDArray[np.int64], kept: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Class probabilities by z-scored logistic regression on all rows, or on some."""
    kept = np.ones(len(label), dtype=bool) if kept is None else kept
    x = prepare_values(unit.adata.X, unit.domain, counts=unit.counts)
    domain = np.unique(unit.domain[kept], return_inverse=True)[1]
    parts = (x[kept], domain, label[kept], unit.is_source[kept])
    return lr_z(TransferData(*parts, n_classes=len(unit.classes)))


def scores(unit: Unit, x: NDArray[np.float32], kept: NDArray[np.bool_]) -> dict[str, float]:
    """Macro-F1 of the linear part and of z-scored logistic regression on some of the rows."""
    scored = unit.scored[kept]
    truth = unit.truth[kept][scored]
    found = {
        "linear_part": fit_linear_ensemble(training_rows(unit, x, kept)).probs,
        "lr_z": baseline(unit, unit.label, kept),
    }
    return {k: macro_f1(truth, p.argmax(axis=1)[scored]) for k, p in found.items()}


def main() -> None:
    """Measure at budget 0 and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer.resampling")
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    out = []
    for task in select_tasks(arguments.data, ["all"]):
        unit = build_unit(arguments.data, task, "plain", "0", 0)
        x = values(unit)
        for repeat in range(-1, REPEATS):
            kept = np.random.default_rng(repeat + 1).random(len(x)) < (1 if repeat < 0 else SHARE)
            share = 1.0 if repeat < 0 else SHARE
            found = scores(unit, x, kept)
            out.append({"task": task.name, "share": share, "repeat": repeat, **found})
    table = pd.DataFrame(out).round(4)
    table.to_csv(HERE / "resampling.csv", index=False)
    print(table.groupby("share")[["linear_part", "lr_z"]].mean().round(3))


if __name__ == "__main__":
    main()
