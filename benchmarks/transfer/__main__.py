"""Command line of the transfer benchmark."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from benchmarks.transfer.methods import METHODS
from benchmarks.transfer.runner import plan, run
from benchmarks.transfer.stress import STRESSES
from benchmarks.transfer.tasks import select_tasks

HERE = Path(__file__).parent
SEED_PAPER_GRID = [f"{p}%" for p in (*range(1, 21), *range(25, 101, 5))]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the arguments of the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.transfer", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with tasks.csv and the h5ad files")
    add("--tasks", nargs="+", default=["all"], help="tasks, families, 'all' or 'loco'")
    add("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD")
    add(
        "--budgets",
        nargs="+",
        default=["0", "1", "2", "5", "10", "20"],
        help="labels of each class, percentages such as 5%%, or 'paper' for the seed paper's grid",
    )
    add("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    add("--stress", nargs="+", default=["plain"], choices=STRESSES)
    add("--jobs", type=int, default=1, help="processes")
    add("--out", type=Path, default=HERE / "results.csv", help="rows are added to it")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 if a row is missing in the end."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for noisy in ("lightning.pytorch", "scvi"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    budgets = [
        budget
        for name in options.budgets
        for budget in (SEED_PAPER_GRID if name == "paper" else [name])
    ]
    tasks = select_tasks(options.data, options.tasks)
    jobs = plan(tasks, options.stress, options.methods, budgets, options.seeds)
    return int(run(options.data, jobs, options.out, options.jobs) > 0)


if __name__ == "__main__":
    sys.exit(main())
