"""Run as ``python -m benchmarks.multimodal --data DIR``; goes on where it was interrupted."""

from __future__ import annotations

import argparse
import csv
import itertools
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from benchmarks.multimodal.summary import summarise
from benchmarks.multimodal.trainings import CLASSES, TRAININGS, read, targets
from domainvi.tl import score_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mudata import MuData

HERE = Path(__file__).parent
KEYS = ("target", "training", "seed")
SCORES = ("balanced_accuracy", "macro_f1", "auroc", "nll", "ece")
# Nothing in these is drawn.
FIXED = ("lr_z", "members")
COLUMNS = (*KEYS, "input", *SCORES, "n_rows", "seconds")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the arguments of the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.multimodal", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with the h5mu file")
    add("--trainings", nargs="+", default=list(TRAININGS), choices=list(TRAININGS))
    add("--targets", nargs="+", help="cancers to leave out; all that have both classes")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--minutes", type=float, default=float("inf"), help="start no training after these")
    add("--out", type=Path, default=HERE / "results.csv", help="rows are added to it")
    return parser.parse_args(arguments)


def measure(mdata: MuData, target: str, training: str, seed: int) -> Iterator[dict[str, object]]:
    """Yield the rows of one training."""
    truth = mdata.obs.loc[mdata.obs["cohort"] == target, "label"].astype(str)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predictions = TRAININGS[training](mdata, target, seed)
    seconds = round(time.perf_counter() - start, 1)
    for name, p in predictions.items():
        scores = score_probabilities(np.searchsorted(CLASSES, truth), p)
        yield {
            **dict(zip(KEYS, (target, training, seed), strict=True)),
            "input": name,
            **{score: round(scores[score], 6) for score in SCORES},
            "n_rows": len(truth),
            "seconds": seconds,
        }


def main(arguments: list[str] | None = None) -> int:
    """Measure what the table lacks, and write the summary beside it."""
    options = parse(arguments)
    torch.set_num_threads(1)
    for noisy in ("lightning.pytorch", "scvi"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    done = set()
    if options.out.exists():
        done = set(pd.read_csv(options.out)[list(KEYS)].itertuples(index=False, name=None))
    mdata, start = read(options.data), time.monotonic()
    for seed, target, training in itertools.product(
        options.seeds, options.targets or targets(mdata), options.trainings
    ):
        if (target, training, seed) in done or (training in FIXED and seed != options.seeds[0]):
            continue
        if time.monotonic() - start > 60 * options.minutes:
            break
        append(options.out, list(measure(mdata, target, training, seed)))
        print(target, training, seed, flush=True)
    options.out.with_name("summary.md").write_text(summarise(pd.read_csv(options.out)))
    return 0


def append(path: Path, rows: list[dict[str, object]]) -> None:
    """Add the rows of one training to the table at once."""
    is_new = not path.exists()
    with path.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
