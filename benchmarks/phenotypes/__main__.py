"""Run as ``python -m benchmarks.phenotypes --data DIR``; writes a table and a page beside this."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from benchmarks.phenotypes import runner, summary
from benchmarks.phenotypes.methods import METHODS
from benchmarks.phenotypes.trials import SETTINGS

HERE = Path(__file__).parent
PROTOCOLS = ["leave_one_domain_out", "cross_validation"]


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing and write the summary; the status is 1 if something is left to run."""
    parser = argparse.ArgumentParser("python -m benchmarks.phenotypes", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with the h5ad files")
    add("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS)
    add("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS), metavar="SETTING")
    add("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD")
    add("--seeds", nargs="+", type=int, default=[0, 1])
    add("--minutes", type=float, help="stop after about so long; the next run goes on")
    add("--out", type=Path, default=HERE, help="folder of results.csv and summary.md")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for noisy in ("lightning.pytorch", "scvi"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    jobs = runner.plan(options.settings, options.protocols, options.methods, options.seeds)
    results = options.out / "results.csv"
    left = runner.run(options.data, jobs, results, options.minutes)
    summary.write(results, options.out / "summary.md")
    return int(left > 0)


if __name__ == "__main__":
    raise SystemExit(main())
