"""Draw ``results.csv`` and write its tables: ``python -m benchmarks.latents.figure``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from benchmarks.latents.measures import PROBES, SCIB
from benchmarks.latents.table import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

HERE = Path(__file__).parent
OURS, OTHERS = "DomainVI", ("PCA", "z-scores", "Harmony", "scVI", "SCANVI")
PREDICTING = ("SCANVI", "weight 0", OURS)
# Okabe and Ito's colours, told apart with any colour vision; markers differ too.
STYLE = {
    "PCA": ("#7f7f7f", "s"),
    "z-scores": ("#0072b2", "D"),
    "Harmony": ("#009e73", "P"),
    "scVI": ("#d55e00", "X"),
    "SCANVI": ("#cc79a7", "v"),
    "marginal": ("#e69f00", "p"),
    "weight 0": ("#56b4e9", "<"),
    OURS: ("#000000", "o"),
}
TITLES = {
    **{name: name.replace("_", " ") for name in SCIB},
    "found": "probe above chance, larger of two",
}


def means(table: pd.DataFrame, labels: str = "hidden") -> pd.DataFrame:
    """Mean over seeds by set and latents, with what the better probe finds above chance.

    Parameters
    ----------
    table
        Rows of ``results.csv``.
    labels
        Which setting: labels of the targets ``"hidden"`` or ``"known"``.
    """
    rows = table[table["labels"] == labels].drop(columns="labels")
    found = rows[[*PROBES]].max(axis=1) - rows["chance"]
    rows = rows.assign(found=found).drop(columns="seed")
    return rows.groupby(["data", "latents"], sort=False).mean()


def draw(table: pd.DataFrame) -> Figure:
    """Draw each score in a panel, a line for each set and a dot for each of the latents."""
    mean = means(table)
    sets = mean.index.unique("data")
    figure = Figure(figsize=(12, 1.6 + 0.34 * len(sets)), layout="constrained")
    panels = figure.subplots(1, len(TITLES), sharey=True)
    for axes, (score, title) in zip(panels, TITLES.items(), strict=True):
        for name, (color, marker) in STYLE.items():
            values = _of_sets(mean[score]).get(name)
            if values is not None:
                size = 44 if name == OURS else 26
                axes.scatter(
                    values, np.arange(len(sets)), color=color, marker=marker, s=size, label=name
                )
        axes.set_xlabel(title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="both", lw=0.5, alpha=0.4)
        axes.set_axisbelow(True)
    panels[-1].axvline(0, color="#000000", lw=0.8)
    panels[0].set_yticks(np.arange(len(sets)), sets)
    panels[0].invert_yaxis()
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, frameon=False, ncols=len(names), loc="outside upper center")
    return figure


def summarise(table: pd.DataFrame) -> str:
    """Write scib-metrics beside the best of the others, and all probes, as Markdown.

    Parameters
    ----------
    table
        Rows of ``results.csv``.
    """
    mean = means(table)
    parts = ["![Scores of the latents on each set](summary.png)"]
    parts += [
        "Scib-metrics, DomainVI / best of the others (without `weight 0`):",
        _markdown(mean, _best(mean)),
    ]
    probed = {"chance": [f"{chance:.2f}" for chance in _of_sets(mean["chance"]).mean(axis=1)]}
    probed |= {name: _joined(mean, name, PROBES, ".2f") for name in (*OTHERS, "weight 0", OURS)}
    parts += ["Fresh probes, logistic regression / random forest:", _markdown(mean, probed)]
    costs = {name: _joined(mean, name, ("macro_f1", "seconds"), ".3g") for name in PREDICTING}
    parts += ["Macro-F1 of hidden labels / seconds of the processor:", _markdown(mean, costs)]
    return "\n\n".join(parts) + "\n"


def _of_sets(scores: pd.Series) -> pd.DataFrame:
    """Return sets as rows, in their order, and latents as columns."""
    return scores.unstack("latents").reindex(index=scores.index.unique("data"))


def _best(mean: pd.DataFrame) -> dict[str, list[str]]:
    """Score of DomainVI and the best of the others, with its name."""
    cells = {}
    for score in SCIB:
        scores = _of_sets(mean[score])
        others = scores.reindex(columns=[*OTHERS])
        names = others.idxmax(axis=1)
        cells[TITLES[score]] = [
            f"{ours:.3f} / {best:.3f} ({name})"
            for ours, best, name in zip(scores[OURS], others.max(axis=1), names, strict=True)
        ]
    return cells


def _joined(mean: pd.DataFrame, name: str, scores: Sequence[str], style: str) -> list[str]:
    """Scores of some latents on each set; empty where they were not made."""
    columns = [_of_sets(mean[score]).reindex(columns=[name])[name] for score in scores]
    rows = zip(*columns, strict=True)
    return [
        " / ".join("" if np.isnan(x) else format(x, style) for x in row).strip(" /") for row in rows
    ]


def _markdown(mean: pd.DataFrame, cells: dict[str, list[str]]) -> str:
    sets = mean.index.unique("data")
    lines = [["data", *cells], ["---", *["---:"] * len(cells)]]
    lines += [list(row) for row in zip(sets, *cells.values(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    """Write ``summary.md`` and ``summary.png``."""
    parser = argparse.ArgumentParser("python -m benchmarks.latents.figure", description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "results.csv")
    parser.add_argument("--out", type=Path, default=HERE, help="folder")
    options = parser.parse_args(arguments)
    table = load(options.results)
    (options.out / "summary.md").write_text(summarise(table), encoding="utf-8")
    draw(table).savefig(options.out / "summary.png", dpi=150)
    return 0


if __name__ == "__main__":
    sys.exit(main())
