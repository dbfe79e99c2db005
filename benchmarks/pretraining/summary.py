"""Write what ``results.csv`` says: ``python -m benchmarks.pretraining.summary``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from benchmarks.pretraining.methods import METHODS, SCHEMES
from benchmarks.pretraining.tasks import TASKS
from benchmarks.transfer.tables import to_markdown

HERE = Path(__file__).parent
FEW = 5
GAIN, LOSS = 0.03, 0.01
MIN_DRAWS = 5


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean macro-F1 over draws: method by (task, budget)."""
    wide = table.pivot_table(index="method", columns=["task", "budget"], values="macro_f1")
    return wide.reindex([m for m in METHODS if m in wide.index])


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Gain of each scheme over the same network without pretraining, at each setting.

    Returns
    -------
    Columns ``scheme``, ``mode``, ``task``, ``budget``, ``gain`` (difference of the means over
    draws), ``error`` (standard error of the paired differences) and ``draws``.
    """
    keys = ["task", "budget"]
    rows = []
    for mode in ("probe", "network"):
        base = table[table["method"] == f"{mode}_none"].set_index([*keys, "seed"])["macro_f1"]
        for scheme in SCHEMES[1:]:
            own = table[table["method"] == f"{mode}_{scheme}"].set_index([*keys, "seed"])
            difference = (own["macro_f1"] - base).dropna()
            for (task, budget), d in difference.groupby(level=keys):
                rows.append((scheme, mode, task, budget, d.mean(), d.sem(), len(d)))
    return pd.DataFrame(rows, columns=["scheme", "mode", *keys, "gain", "error", "draws"])


def verdicts(gain: pd.DataFrame) -> pd.DataFrame:
    """Judge each scheme and mode by the rule of the benchmark.

    At most 5 labels a class: a gain of 3 points on at least half of the settings. At any budget:
    never a loss of more than 1 point. With fewer than five draws anywhere nothing is decided.
    """
    rows = []
    for (scheme, mode), part in gain.groupby(["scheme", "mode"], sort=False):
        few = part[part["budget"] <= FEW]["gain"]
        won, worst = int((few >= GAIN - 1e-9).sum()), part["gain"].min()
        recommended = won * 2 >= len(few) and worst >= -LOSS - 1e-9
        verdict = "recommended" if recommended else "not recommended"
        if part["draws"].min() < MIN_DRAWS:
            verdict = "undecided: too few draws"
        least = str(part["draws"].min())
        rows.append((scheme, mode, f"{won} of {len(few)}", f"{100 * worst:+.1f}", least, verdict))
    columns = ["scheme", "mode", "gains of 3 points", "worst", "least draws", "verdict"]
    return pd.DataFrame(rows, columns=columns).set_index(["scheme", "mode"])


def summarise(table: pd.DataFrame) -> str:
    """Write all tables as Markdown."""
    gain = gains(table)
    draws = table["seed"].nunique()
    parts = [
        "# Pretraining and few labels\n",
        "Written by `python -m benchmarks.pretraining.summary` from `results.csv`: macro-F1 in "
        f"percent on patients that no method has seen, mean over up to {draws} draws of labels. "
        "Columns are labels of each class shown in the pool; all rows of the pool are there "
        "without labels. `probe`: logistic regression on frozen latents. `network`: the network "
        "alone, trained by `train()`, without the package's linear members. `none`: the same "
        "network from scratch, for the probe as it is before its first step. `lr_pca` reads "
        "principal components of the pool.\n",
        "Settings of the methods were chosen on the TCGA cohorts, with this split and these draws, "
        "so that their numbers are optimistic. The miRNA cohorts had no part in it, but the "
        "default method was fixed after one draw of them had been seen. A mean is over the draws "
        "that have been run: `results.csv` says which.\n",
        "## Verdict\n",
        "A gain of 3 points at 1, 2 and 5 labels a class on at least half of the settings, and "
        "nowhere a loss of more than 1.\n",
        _markdown(verdicts(gain)),
    ]
    for role in ("reported", "chosen on"):
        part = gain[gain["task"].isin([t.name for t in TASKS.values() if t.role == role])]
        if len(part):
            reported = role == "reported"
            title = "no part in the choice of settings" if reported else "the choice was made here"
            parts += [f"### Cohorts: {title}\n", _markdown(verdicts(part))]
    for task in table["task"].unique():
        shown = means(table[table["task"] == task])[task]
        parts += [f"## {task}\n", to_markdown(shown), "Gain over `none`, points:\n"]
        wide = gain[gain["task"] == task].pivot_table(
            index=["mode", "scheme"], columns="budget", values="gain", sort=False
        )
        parts += [to_markdown(wide)]
        error = gain[gain["task"] == task]["error"].max()
        parts += [f"Largest standard error of these gains over draws: {100 * error:.1f}.\n"]
    return "\n".join(parts)


def _markdown(table: pd.DataFrame) -> str:
    columns = [*table.index.names, *table.columns]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for key, row in table.iterrows():
        lines.append("| " + " | ".join([*key, *row]) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write ``summary.md``."""
    parser = argparse.ArgumentParser("python -m benchmarks.pretraining.summary")
    parser.add_argument("--results", type=Path, default=HERE / "results.csv")
    parser.add_argument("--out", type=Path, default=HERE, help="folder")
    options = parser.parse_args(arguments)
    text = summarise(pd.read_csv(options.results))
    (options.out / "summary.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
