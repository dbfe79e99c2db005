"""Latents of every method on every set: ``python -m benchmarks.latents --data DIR``.

Rows are added to ``results.csv`` as they come, and those that are there are not made again, unless
``--again`` says so. Labels of the target cohorts are hidden (``--labels known``: none is), and all
figures go by the true classes: fresh probes of the cohort (logistic regression and a random forest,
five-fold, balanced accuracy), and scib-metrics. Harmony needs ``pip install harmonypy``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from benchmarks.latents.datasets import SETS, read
from benchmarks.latents.measures import hidden_f1, probes, scib
from benchmarks.latents.methods import METHODS, components, log_values, run_quietly
from benchmarks.latents.table import add, finished

if TYPE_CHECKING:
    from anndata import AnnData

    from benchmarks.latents.methods import Method

RESULTS = Path(__file__).parent / "results.csv"


def measure(
    method: Method, adata: AnnData, seed: int, *, with_scib: bool
) -> list[dict[str, str | float]]:
    """Run a method; one row for each of the latents that it makes."""
    start, found = time.process_time(), []
    for name, z, predicted in run_quietly(method, adata, seed):
        found.append((name, z, predicted, time.process_time() - start))
    before = components(log_values(adata)) if found and with_scib else None
    return [
        {
            "latents": name,
            "seed": seed,
            **(scib(z, before, adata.obs) if with_scib else {}),
            **probes(z, adata.obs),
            **hidden_f1(adata.obs, predicted),
            "seconds": round(seconds, 1),
        }
        for name, z, predicted, seconds in found
    ]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the arguments of the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.latents", description=__doc__)
    add_argument = parser.add_argument
    names = [name for group in METHODS for name in group]
    add_argument("--data", type=Path, required=True, help="folder with the h5ad files")
    add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    add_argument("--latents", nargs="+", default=names, choices=names)
    add_argument("--labels", default="hidden", choices=("hidden", "known"))
    add_argument("--seeds", nargs="+", type=int, default=[0])
    add_argument("--probes-only", action="store_true", help="without scib-metrics")
    add_argument("--again", action="store_true", help="make rows again that are there")
    add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is not there yet."""
    options = parse(arguments)
    with_scib = not options.probes_only
    done = set() if options.again else finished(options.out, scib=with_scib)
    for name in options.sets:
        adata = read(name, options.data, hide=options.labels == "hidden")
        wanted = [
            (method, seed)
            for seed in options.seeds
            for names, method in METHODS.items()
            if {(name, options.labels, n, seed) for n in names if n in options.latents} - done
        ]
        for method, seed in wanted:
            with threadpool_limits(1):
                rows = measure(method, adata, seed, with_scib=with_scib)
            for row in rows:
                if row["latents"] in options.latents:
                    add(options.out, {"data": name, "labels": options.labels, **row})
                    print(name, row, flush=True)


if __name__ == "__main__":
    main()
