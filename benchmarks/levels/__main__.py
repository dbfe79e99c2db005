"""Labels of two depths: a tree beside flat models of either level, on blood cells of three kits.

Run as ``python -m benchmarks.levels --data DIR``; writes ``results.csv`` and prints the means. Of
three cohorts one shows cell types, one lineages alone, and of one nothing is shown, in all six
orders. A flat model of types sees no label of the second cohort, one of lineages sees both.
"""

from __future__ import annotations

import argparse
from itertools import permutations
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import domainvi as dv
from domainvi.metrics import accuracy, level_accuracy, macro_f1

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


def measure(adata: ad.AnnData, source: str, coarse: str, target: str, seed: int) -> list[dict]:
    """Scores of the target's rows by the tree and by two flat models."""
    cohort = adata.obs["cohort"].to_numpy()
    truth = adata.obs[LEVELS].astype(str)
    shown = adata.copy()
    shown.obs[LEVELS[0]] = truth[LEVELS[0]].where(cohort != target, None)
    shown.obs[LEVELS[1]] = truth[LEVELS[1]].where(cohort == source, None)
    hidden, rows = cohort == target, []
    given = {"source": source, "coarse": coarse, "target": target, "seed": seed}
    tree = predictions(shown, LEVELS, seed)
    named = shown.obs["cell_type_level"].cat.codes.to_numpy()[hidden]
    names = np.column_stack([tree.predict(target=level)[hidden] for level in LEVELS])
    found = level_accuracy(truth[hidden].to_numpy(), names, named)
    fine = shown.obs.loc[hidden & (shown.obs["cell_type_level"] == LEVELS[1]), "cell_type_conf"]
    for i, level in enumerate(LEVELS):
        true = truth.loc[hidden, level].to_numpy()
        row = {
            "model": "tree",
            "accuracy": found.accuracy[i],
            "macro_f1": macro_f1(true, names[:, i]),
        }
        if i:
            row |= {
                "share_named": found.share_named[i],
                "accuracy_named": found.accuracy_named[i],
                "confidence_named": fine.mean(),
            }
        flat = predictions(shown, level, seed).predict()[hidden]
        rows.append({**given, "level": level, **row})
        scores = {"accuracy": accuracy(true, flat), "macro_f1": macro_f1(true, flat)}
        rows.append({**given, "level": level, "model": "flat", **scores})
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.levels")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    adata, rows = ad.read_h5ad(arguments.data / FILE), []
    adata.obs = adata.obs[["cohort", *LEVELS]]
    with threadpool_limits(1):
        for seed in arguments.seeds:
            for order in permutations(adata.obs["cohort"].cat.categories):
                rows += measure(adata, *order, seed)
                table = pd.DataFrame(rows).round(4)
                table.to_csv(HERE / "results.csv", index=False)
    print(table.groupby(["level", "model"], sort=False).mean(numeric_only=True).round(3))


if __name__ == "__main__":
    main()
