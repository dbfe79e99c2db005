"""Labels of two depths: a tree beside flat models of either level.

``python -m benchmarks.levels --data DIR`` writes ``results.csv`` and prints the means. Of three
cohorts of blood cells, by three kits, one shows cell types, one lineages alone, and of one nothing
is shown, in all six orders. A flat model of types sees no label of the second cohort, one of
lineages sees both.

``python -m benchmarks.levels --atlas 20000x50x20`` writes ``atlas.csv``: a planted atlas whose
first labelled cohort shows lineages alone. Scored are the unlabelled cohorts, of types the rows
whose type has labels somewhere.
"""

from __future__ import annotations

import argparse
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import domainvi as dv
from benchmarks.atlas.__main__ import parse
from benchmarks.atlas.planted import Size, planted_atlas
from domainvi.metrics import accuracy, level_accuracy, macro_f1

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

HERE = Path(__file__).parent
FILE = "sc_pbmc_3tech.h5ad"
LEVELS = ["cell_type_broad", "cell_type"]


def predictions(adata: ad.AnnData, labels: str | list[str], seed: int) -> dv.DomainVI:
    """Set up, train, and annotate."""
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key=labels)
    model = dv.DomainVI(adata, seed=seed)
    model.train(enable_progress_bar=False, accelerator="cpu")
    model.annotate(adata)
    return model


def measure(
    shown: ad.AnnData,
    truth: pd.DataFrame,
    scored: NDArray[np.bool_],
    known: NDArray[np.bool_],
    seed: int,
) -> list[dict]:
    """Scores of rows of unlabelled cohorts by the tree and by two flat models.

    Levels are the columns of ``truth``, which ``shown`` has in part; at the finer one only rows
    that are ``known`` are scored.
    """
    levels, rows = list(truth), []
    tree = predictions(shown, levels, seed)
    result = shown.obs[[f"{levels[1]}_level", f"{levels[1]}_conf"]].set_axis(
        ["level", "conf"], axis=1
    )
    named = result["level"].cat.codes.to_numpy()
    names = np.column_stack([tree.predict(target=level) for level in levels])
    for i, level in enumerate(levels):
        of = scored & known if i else scored
        found = level_accuracy(truth[of].to_numpy(), names[of], named[of])
        true = truth.loc[of, level].to_numpy()
        row = {"accuracy": found.accuracy[i], "macro_f1": macro_f1(true, names[of, i])}
        if i:
            fine = result.loc[of & (result["level"] == level).to_numpy(), "conf"]
            row |= {
                "share_named": found.share_named[i],
                "accuracy_named": found.accuracy_named[i],
                "confidence_named": fine.mean(),
            }
        flat = predictions(shown, level, seed).predict()[of]
        scores = {"accuracy": accuracy(true, flat), "macro_f1": macro_f1(true, flat)}
        rows += [
            {"level": level, "model": "tree", **row},
            {"level": level, "model": "flat", **scores},
        ]
    return rows


def of_blood(folder: Path, seed: int) -> Iterator[dict]:
    """Six orders of three cohorts."""
    adata = ad.read_h5ad(folder / FILE)
    adata.obs = adata.obs[["cohort", *LEVELS]]
    cohort, truth = adata.obs["cohort"].to_numpy(), adata.obs[LEVELS].astype(str)
    for source, coarse, target in permutations(adata.obs["cohort"].cat.categories):
        shown = adata.copy()
        shown.obs[LEVELS[0]] = truth[LEVELS[0]].where(cohort != target, None)
        shown.obs[LEVELS[1]] = truth[LEVELS[1]].where(cohort == source, None)
        given = {"source": source, "coarse": coarse, "target": target, "seed": seed}
        every = np.ones(len(cohort), dtype=bool)
        for row in measure(shown, truth, cohort == target, every, seed):
            yield {**given, **row}


def of_atlas(size: Size) -> Iterator[dict]:
    """One planted atlas, with lineages alone in the first of its labelled cohorts."""
    shown = planted_atlas(size)
    truth = shown.obs[["lineage", "truth"]].astype(str).set_axis(["lineage", "type"], axis=1)
    hidden = (shown.obs["label"] == "Unknown").to_numpy()
    coarse = (shown.obs["cohort"] == shown.obs["cohort"].cat.categories[0]).to_numpy()
    shown.obs = shown.obs[["cohort"]].assign(
        lineage=truth["lineage"].where(~hidden, None),
        type=truth["type"].where(~hidden & ~coarse, None),
    )
    known = truth["type"].isin(shown.obs["type"].dropna()).to_numpy()
    for row in measure(shown, truth, hidden, known, size.seed):
        yield {**vars(size), **row}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.levels")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path)
    what.add_argument("--atlas", help="rows x classes x cohorts")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    out, rows = HERE / ("atlas.csv" if arguments.atlas else "results.csv"), []
    with threadpool_limits(1):
        for seed in arguments.seeds:
            if arguments.atlas:
                found = of_atlas(parse(arguments.atlas, 2_000, seed))
            else:
                found = of_blood(arguments.data, seed)
            for row in found:
                rows.append(row)
                table = pd.DataFrame(rows).round(4)
                table.to_csv(out, index=False)
    print(table.groupby(["level", "model"], sort=False).mean(numeric_only=True).round(3))


if __name__ == "__main__":
    main()
