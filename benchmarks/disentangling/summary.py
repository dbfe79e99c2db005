"""From single figures to one table a data set."""

from __future__ import annotations

from math import isfinite, nan
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
    "biological_domain_forest": "domain from biological, forest",
    "biological_domain_forest_chance": "chance, forest",
    "technical_target_forest": "target from technical, forest",
    "technical_target_forest_chance": "chance, forest ",
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
        "accuracies of logistic regression, or of a random forest where it says so. The columns "
        "before the joint AUC are measured on 30 % of the rows that the model never saw (whole "
        "patients), cross-fitted there; chance is the mean over permutations, within tumour state "
        "for GTEx against TCGA, where state and platform are associated. There the forest looks "
        "for the platform within each state. Methods with one latent space are probed on all of "
        "it. Transfer: the labels "
        "of one domain at a time are hidden from model and classifier, mean over the domains left "
        "out so far (number in brackets). Leakage against `none`: what is above chance of the "
        "domain in the biological subspace, and of the target in the technical one, over the same "
        "of `none`, for logistic regression and for the forest. The last rows split what the terms "
        "and what the projection do. A cell is empty where nothing was measured.",
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
        f"| method | {' | '.join(COLUMNS.values())} | leakage against `none` | the same, forest |",
        "|---" * (len(COLUMNS) + 3) + "|",
    ]
    none = own[own["method"] == "none"]
    for method in methods:
        rows = own[own["method"] == method]
        cells = []
        for figure in COLUMNS:
            values = rows.loc[rows["figure"] == figure, "value"]
            cell = f"{values.mean():.3f}" if len(values) else ""
            many = figure.startswith("transfer") and len(values)
            cells.append(f"{cell} ({len(values)})" if many else cell)
        split = method in SETTINGS or method in ABLATIONS
        for probe in ("", "_forest"):
            pairs = zip(_leaks(rows, probe), _leaks(none, probe), strict=True)
            shares = [f"{max(a, 0) / b:.0%}" for a, b in pairs if isfinite(a)]
            cells.append(", ".join(shares) if split else "")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def _leaks(rows: pd.DataFrame, probe: str) -> list[float]:
    """Find what is above chance of the domain in the biological subspace, and the other way."""
    figure = rows.groupby("figure")["value"].mean()
    names = (f"biological_domain{probe}", f"technical_target{probe}")
    return [figure.get(name, nan) - figure.get(f"{name}_chance", nan) for name in names]
