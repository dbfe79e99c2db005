"""Run as ``python -m benchmarks.explanations --data DIR``; writes tables beside this file."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pandas as pd
import torch

from benchmarks.explanations import cost, sex

HERE = Path(__file__).parent


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanations", description=__doc__)
    parser.add_argument("--data", type=Path, help=f"folder with {sex.FILE}")
    parser.add_argument("--only", choices=["sex", "cost"], help="one of the two")
    arguments = parser.parse_args()
    if arguments.only != "cost" and arguments.data is None:
        parser.error("--data is needed for everything but --only cost")
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parts = {"cost": cost.rows, "sex": lambda: sex.rows(arguments.data)}
    for name, rows in parts.items():
        if arguments.only in (None, name):
            table = pd.DataFrame(rows()).round(7)
            table.to_csv(HERE / f"{name}.csv", index=False)
            print(table.to_string(index=False))


if __name__ == "__main__":
    main()
