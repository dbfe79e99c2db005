"""The rows of ``results.csv``: which are there, and how one is added."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ["data", "labels", "latents", "seed"]


def load(path: Path) -> pd.DataFrame:
    """Read the rows; none if there is no file."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=KEYS)


def finished(path: Path, *, scib: bool) -> set[tuple]:
    """Return the keys of rows that are there, with scib-metrics where these are asked for."""
    table = load(path)
    if scib:
        table = table[table["total"].notna()] if "total" in table else table[:0]
    return set(table[KEYS].itertuples(index=False, name=None))


def add(path: Path, row: dict) -> None:
    """Add a row in place of one with the same keys, and replace the file at once."""
    table = load(path)
    same = (table[KEYS] == [row[key] for key in KEYS]).all(axis=1)
    rows = [*table[~same].to_dict("records"), row]
    part = path.with_suffix(".part")
    pd.DataFrame(rows).round(4).to_csv(part, index=False)
    part.replace(path)
