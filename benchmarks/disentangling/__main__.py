"""Run as ``python -m benchmarks.disentangling --data DIR``; resumes, and writes two tables."""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from pathlib import Path

import pandas as pd
import torch

from benchmarks.disentangling.datasets import DATASETS
from benchmarks.disentangling.measure import measure, parts
from benchmarks.disentangling.methods import METHODS
from benchmarks.disentangling.summary import write_summary

HERE = Path(__file__).parent
KEYS = ["dataset", "method", "part", "seed"]


def main() -> None:
    """Measure what is missing, within the time given, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.disentangling", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the h5ad files")
    parser.add_argument("--dataset", choices=[d.name for d in DATASETS], help="one of them")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--parts", nargs="+", help="parts to run; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9, help="start nothing after this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("domainvi").setLevel(logging.ERROR)
    end = time.monotonic() + 60 * arguments.minutes
    path = HERE / "results.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=[*KEYS, "figure", "value"])
    for dataset in DATASETS:
        if arguments.dataset not in (None, dataset.name):
            continue
        adata = dataset.read(arguments.data)
        for method in arguments.methods:
            for part in parts(dataset, adata, method):
                key = {"dataset": dataset.name, "method": method, "part": part}
                key["seed"] = arguments.seed
                done = (table[KEYS] == pd.Series(key)).all(axis=1).any()
                unwanted = arguments.parts and part not in arguments.parts
                if done or unwanted or time.monotonic() > end:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = measure(dataset, adata, method, part, arguments.seed)
                rows = pd.DataFrame([{**key, "figure": k, "value": v} for k, v in found.items()])
                table = pd.concat([table, rows], ignore_index=True) if len(table) else rows
                table.round(4).to_csv(path, index=False)
                print(key, {k: round(v, 3) for k, v in found.items()}, flush=True)
    write_summary(table, HERE / "summary.md")


if __name__ == "__main__":
    main()
