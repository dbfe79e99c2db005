"""From single figures to one table a data set."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from benchmarks.disentangling.datasets import DATASETS
from benchmarks.disentangling.methods import ABLATIONS, METHODS, SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

COLUMNS = {
    "biological_domain": "domain from biological",
    "biological_domain_chance": "chance",
    "technical_target": "target from technical",
    "technical_target_chance": "chance ",
    "biological_target": "target from biological",
    "technical_domain": "domain from technical",
    "joint_auc": "joint AUC",
    "transfer_biological": "transfer, biological",
    "transfer_full": "transfer, all latents",
    "keep_change": "swap: target change",
    "flipped": "swap: domain flips",
}


def write_summary(table: pd.DataFrame, path: Path) -> None:
    """Write a markdown page with one table a data set."""
    text = [
        "# Disentangling, measured",
        "",
        "Made by `python -m benchmarks.disentangling --data DIR`, from `results.csv`. Balanced "
        "accuracies of logistic regression. The first six columns are measured on 30 % of the rows "
        "that the model never saw (whole patients), cross-fitted there; chance is the mean over "
        "permutations, within tumour state for GTEx against TCGA, where state and platform are "
        "associated. Methods with one latent space are probed on all of it. Transfer: the labels "
        "of one domain at a time are hidden from model and classifier, mean over the domains left "
        "out so far (number in brackets). Leakage against `none`: what is above chance of the "
        "domain in the biological subspace, and of the target in the technical one, over the same "
        "of `none`. The last two rows split what adversaries and what the projection do.",
    ]
    for dataset in DATASETS:
        own = table[table["dataset"] == dataset.name]
        methods = [m for m in METHODS if (own["method"] == m).any()]
        if methods:
            roles = f"Target: `{dataset.target}`; domain: `{dataset.domain}`."
            text += ["", f"## {dataset.name}", "", roles, "", *_rows(own, methods)]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


def _rows(own: pd.DataFrame, methods: list[str]) -> list[str]:
    lines = [
        f"| method | {' | '.join(COLUMNS.values())} | leakage against `none` |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    without = _leaks(own[own["method"] == "none"])
    for method in methods:
        rows = own[own["method"] == method]
        cells = []
        for figure in COLUMNS:
            values = rows.loc[rows["figure"] == figure, "value"]
            cell = f"{values.mean():.3f}" if len(values) else ""
            many = figure.startswith("transfer") and len(values)
            cells.append(f"{cell} ({len(values)})" if many else cell)
        split = method in SETTINGS or method in ABLATIONS
        shares = [max(a, 0) / b for a, b in zip(_leaks(rows), without, strict=True)]
        cells.append(", ".join(f"{share:.0%}" for share in shares) if split else "")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def _leaks(rows: pd.DataFrame) -> list[float]:
    """Find what is above chance of the domain in the biological subspace, and the other way."""
    figure = rows.groupby("figure")["value"].mean()
    names = ("biological_domain", "technical_target")
    return [figure.get(name, nan) - figure.get(f"{name}_chance", nan) for name in names]
