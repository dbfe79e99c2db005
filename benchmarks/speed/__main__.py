"""Run measurements in slices and write their table: ``python -m benchmarks.speed --help``."""

from __future__ import annotations

import argparse
import logging
import warnings
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from . import accuracy, loading, measures, memory, startup
from .tables import write_tables

HERE = Path(__file__).parent
MEASURES = {
    "step-bulk": partial(measures.step, "bulk 10,000 x 5,000 dense"),
    "step-cells": partial(measures.step, "cells 50,000 x 2,000 CSR"),
    "inference": measures.inference,
    "scaling": measures.scaling,
    "loading": loading.loading,
    "memory": partial(memory.peaks, "scanvi", 50_000, 1),
    "h5ad": partial(memory.peaks, "h5ad", 1_000_000, 1),
    "zarr": partial(memory.peaks, "zarr", 1_000_000, 1),
    "accuracy": accuracy.times,
    "startup": startup.startup,
}


def main() -> None:
    """Measure what is asked for; results of before are kept, those measured again are replaced."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measures", nargs="*", choices=[*MEASURES, []], help="what to measure")
    parser.add_argument("--out", type=Path, default=HERE, help="directory of results.csv")
    parser.add_argument("--data", type=Path, help="directory of the cohorts, for 'accuracy'")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    path = arguments.out / "results.csv"
    for name in arguments.measures:
        extra = {"directory": arguments.data} if name == "accuracy" else {}
        rows = pd.DataFrame(list(MEASURES[name](**extra))).assign(
            slice=name, threads=arguments.threads
        )
        old = pd.read_csv(path).query("slice != @name") if path.exists() else rows[:0]
        pd.concat([old, rows]).to_csv(path, index=False)
    write_tables(pd.read_csv(path), arguments.out / "results.md")


if __name__ == "__main__":
    main()
