"""The tables of the benchmark as markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from benchmarks.phenotypes.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRIAL = ["protocol", "setting", "unit", "seed"]
SCORES = {"sex": ("macro_f1", "balanced_accuracy", "auroc"), "age": ("r2", "mae")}
# What stands for a target in the mean over targets: higher is better, and guessing is near 0.
SKILL = {"sex": "auroc", "age": "r2"}


def write(results: Path, out: Path) -> None:
    """Write the summary of a table of results."""
    table = pd.read_csv(results)
    out.write_text("\n".join(lines(table)) + "\n")


def lines(table: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Sex and age beside the main phenotype"
    yield ""
    yield "Made by `python -m benchmarks.phenotypes --data DIR`. Means over held-out cohorts (or"
    yield "folds of patients) of each setting, then over settings; in brackets the standard"
    yield "deviation over seeds, which draw rows and initial weights."
    compared = whole_trials(table)
    for protocol, part in compared.groupby("protocol", sort=False):
        n_trials = len(part[TRIAL].drop_duplicates())
        yield from ["", f"## {protocol.replace('_', ' ').capitalize()}", ""]
        yield f"{n_trials} trials that every method here has finished."
        for target, scores in SCORES.items():
            rows = part[part["target"] == target]
            if len(rows):
                yield from ["", f"### {target}", "", *_table(rows, scores)]
        yield from ["", "### Mean over targets", "", *_mean_over_targets(part)]
        yield from ["", "### By setting", "", *_by_setting(part)]
    main = table[table["target"] == "main"]
    # Only trials that both have.
    main = main[main.groupby(TRIAL)["method"].transform("nunique") == 2]
    if len(main):
        yield from ["", "## Macro-F1 of the main phenotype, with and without targets", ""]
        yield from _main(main)
    yield from ["", "## Standard errors and calibration of DomainVI", "", *_calibration(table)]


def whole_trials(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the trials of a protocol that all of its methods have, so that means compare."""
    found = table[~table["target"].eq("main")]
    n_methods = found.groupby("protocol")["method"].transform("nunique")
    return found[found.groupby(TRIAL)["method"].transform("nunique") == n_methods]


def _means(rows: pd.DataFrame, score: str) -> pd.DataFrame:
    """Mean of a score by method and seed: over units within settings, then over settings."""
    by_setting = rows.groupby(["method", "seed", "setting"])[score].mean()
    return by_setting.groupby(["method", "seed"]).mean().unstack("seed")


def _markdown(columns: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _cell(values: pd.Series) -> str:
    spread = f" ({values.std():.3f})" if values.count() > 1 else ""
    return f"{values.mean():.3f}{spread}"


def _order(index: pd.Index) -> list[str]:
    return [m for m in METHODS if m in index]


def _table(rows: pd.DataFrame, scores: tuple[str, ...]) -> Iterator[str]:
    means = {s: _means(rows, s) for s in scores}
    methods = _order(means[scores[0]].index)
    yield from _markdown(
        ["method", *scores], [[m, *(_cell(means[s].loc[m]) for s in scores)] for m in methods]
    )


def _mean_over_targets(part: pd.DataFrame) -> Iterator[str]:
    """Mean of the AUROC of sex and the R2 of age, as `SKILL` says, over setting and target."""
    part = part[part["target"].isin(list(SKILL))].copy()
    part["skill"] = [row[SKILL[row["target"]]] for _, row in part.iterrows()]
    part["setting"] = part["setting"] + part["target"]
    means = _means(part, "skill")
    yield from _markdown(
        ["method", "mean of AUROC (sex) and R2 (age)"],
        [[m, _cell(means.loc[m])] for m in _order(means.index)],
    )


def _by_setting(part: pd.DataFrame) -> Iterator[str]:
    part = part[part["target"].isin(list(SKILL))]
    methods = _order(pd.Index(part["method"].unique()))
    rows = []
    for (setting, target), block in part.groupby(["setting", "target"], sort=False):
        means = block.groupby("method")[SKILL[target]].mean()
        score = f"{setting}, {target} ({SKILL[target]})"
        rows.append([score, *(f"{means[m]:.3f}" if m in means else "" for m in methods)])
    yield from _markdown(["setting", *methods], rows)


def _main(main: pd.DataFrame) -> Iterator[str]:
    wide = main.pivot_table(
        index=["setting", "protocol"], columns="method", values="macro_f1", sort=False
    ).dropna()
    if {"domainvi", "domainvi_main"} <= set(wide.columns):
        yield from _markdown(
            ["setting", "protocol", "with", "without"],
            [
                [*index, f"{row['domainvi']:.3f}", f"{row['domainvi_main']:.3f}"]
                for index, row in wide.iterrows()
            ],
        )


def _calibration(table: pd.DataFrame) -> Iterator[str]:
    own = table[table["method"].isin(["domainvi", "domainvi_unseen"])]
    rows = [
        [method, protocol, f"{part['ece'].mean():.3f}", f"{part['coverage'].mean():.3f}"]
        for (method, protocol), part in own.groupby(["method", "protocol"], sort=False)
    ]
    yield from _markdown(
        ["method", "protocol", "ECE of sex", "share of ages in 90 % interval"], rows
    )
