"""Run as ``python -m benchmarks.trust --data DIR``; writes its tables beside this file."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pandas as pd
import torch

from benchmarks.trust import confounding, sets, unknown

HERE = Path(__file__).parent
PARTS = {"unknown": unknown.rows, "confounding": confounding.rows, "sets": sets.rows}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with tasks.csv")
    parser.add_argument("--only", choices=[*PARTS], help="one of them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for name, rows in PARTS.items():
        if arguments.only in (None, name):
            table = pd.DataFrame(rows(arguments.data)).round(4)
            table.to_csv(HERE / f"{name}.csv", index=False)
            print(table.to_string(index=False))


if __name__ == "__main__":
    main()
