"""Command line of the pretraining benchmark; writes the summary when it is through."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from benchmarks.pretraining import summary
from benchmarks.pretraining.methods import METHODS
from benchmarks.pretraining.runner import run
from benchmarks.pretraining.tasks import TASKS

HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing and write ``results.csv`` and ``summary.md``."""
    parser = argparse.ArgumentParser("python -m benchmarks.pretraining", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with the h5ad files")
    add("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    add("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD")
    add("--budgets", nargs="+", default=["1", "2", "5", "10", "20"], help="labels of each class")
    add("--seeds", nargs="+", default=["0", "1", "2", "3", "4"], help="draws of labels")
    add("--out", type=Path, default=HERE, help="folder of results.csv and summary.md")
    add("--models", type=Path, default=HERE / "models", help="folder of the pretrained models")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s")
    logging.getLogger("benchmarks").setLevel(logging.INFO)
    results = options.out / "results.csv"
    grid = (options.tasks, options.methods, options.budgets, options.seeds)
    run(options.data, options.models, results, grid)
    return summary.main(["--results", str(results), "--out", str(options.out)])


if __name__ == "__main__":
    sys.exit(main())
