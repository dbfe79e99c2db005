"""Markdown tables of the results: medians, spread, and ratios to the peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .measures import slope

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def write_tables(results: pd.DataFrame, path: Path) -> None:
    """Write all tables."""
    lines = [
        "# Speed and memory",
        "",
        "Medians with the smallest and largest of the runs, which alternate between the methods. "
        "Processor time is that of the process: on a shared machine it is the number to compare. "
        "The ratio is that of the median processor times, peer over DomainVI.",
        "",
        "| measure | data | threads | method | runs | processor | wall | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    keys = ["measure", "data", "threads"]
    for key, group in results.groupby(keys, sort=False):
        own = group.loc[group["method"] == "DomainVI", "processor"].median()
        for method, runs in group.groupby("method", sort=False):
            ratio = runs["processor"].median() / own
            cells = [*map(str, key), method, str(len(runs))]
            cells += [spread(runs["processor"]), spread(runs["wall"])]
            is_time = not key[0].endswith("F1") and method != "DomainVI" and not np.isnan(ratio)
            cells.append(f"{ratio:.2f}" if is_time else "")
            lines.append(f"| {' | '.join(cells)} |")
    lines += slopes(results)
    path.write_text("\n".join(lines) + "\n")


def spread(values: pd.Series) -> str:
    """Median, and the range where there are several runs."""
    if values.isna().all():
        return ""
    if len(values) == 1:
        return f"{values.iloc[0]:.3g}"
    return f"{values.median():.3g} ({values.min():.3g} to {values.max():.3g})"


def slopes(results: pd.DataFrame) -> list[str]:
    """Slopes of log time in log rows."""
    part = results[results["slice"] == "scaling"]
    if part["data"].nunique() < 2:
        return []
    lines = ["", "| scaling in rows | from | to | slope |", "|---|---|---|---|"]
    for measure, group in part.groupby("measure", sort=False):
        rows = group["data"].str.replace("[^0-9]", "", regex=True).astype(float).tolist()
        found = slope(rows, group["processor"].tolist())
        lines.append(f"| {measure} | {rows[0]:,.0f} | {rows[-1]:,.0f} | {found:.2f} |")
    return lines
