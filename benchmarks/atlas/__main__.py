"""Planted atlases by size: ``python -m benchmarks.atlas --sizes 20000x50x20 100000x100x30``.

Each size and method runs in a process of its own, on one thread, and adds a row to ``atlas.csv``:
macro-F1 and accuracy on the unlabelled cohorts over classes that have labels, classes with a F1
under .5 among those with 20 labelled rows or more, processor seconds of the fit and the share of
them before the first step, those of the predictions or of ``annotate``, wall seconds, and peak
memory of each with that of the data alone.
The plain classifier is a logistic regression of each class against all others by stochastic
gradient descent on log values of the labelled rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import lightning.pytorch as pl
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import f1_score

import domainvi as dv
from benchmarks.atlas.planted import Recipe, Size, write_atlas

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent
HOURS = 6 * 3600  # the deadline of each process
MIN_LABELS = 20


class FirstStep(pl.Callback):
    """Note the processor time at which the first step begins."""

    seconds = 0.0

    def on_train_batch_start(self, *args: Any) -> None:
        """Note it once."""
        self.seconds = self.seconds or time.process_time()


def domainvi(
    adata: ad.AnnData, seed: int, **plan: Any
) -> tuple[NDArray[np.str_], dict[str, float]]:
    """Train at the defaults, and annotate."""
    clock, start, begun = FirstStep(), time.process_time(), time.perf_counter()
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    model = dv.DomainVI(adata, seed=seed)
    model.train(callbacks=[clock], accelerator="cpu", enable_progress_bar=False, **plan)
    fitted, fitted_at, peak_fit = time.process_time(), time.perf_counter(), peak()
    forget_peak()
    model.annotate()
    return adata.obs["label_pred"].astype(str).to_numpy(), {
        "fit": fitted - start,
        "before": clock.seconds - start,
        "annotate": time.process_time() - fitted,
        "wall_fit": fitted_at - begun,
        "wall_annotate": time.perf_counter() - fitted_at,
        "peak_fit": peak_fit,
        "peak_annotate": peak(),
    }


def logistic(adata: ad.AnnData, seed: int) -> tuple[NDArray[np.str_], dict[str, float]]:
    """Fit the plain classifier."""
    start = time.process_time()
    adata = adata.to_memory() if adata.isbacked else adata
    x = sparse.csr_matrix(adata.X, dtype=np.float32)
    x = sparse.diags(1e4 / np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1)).dot(x).tocsr().log1p()
    label = adata.obs["label"].astype(str).to_numpy()
    known = label != "Unknown"
    classifier = SGDClassifier(
        loss="log_loss", alpha=1e-4, max_iter=20, tol=1e-3, random_state=seed
    )
    classifier.fit(x[known], label[known])
    fitted, peak_fit = time.process_time(), peak()
    predicted = classifier.predict(x)
    predict = time.process_time() - fitted
    return predicted, {"fit": fitted - start, "predict": predict, "peak_fit": peak_fit}


METHODS = {"domainvi": domainvi, "logistic": logistic}


def scores(adata: ad.AnnData, predicted: NDArray[np.str_]) -> dict[str, float]:
    """Score the rows of unlabelled cohorts whose class has labels somewhere."""
    obs = adata.obs.astype(str)
    label, truth = obs["label"].to_numpy(), obs["truth"].to_numpy()
    n_labels = pd.Series(label[label != "Unknown"]).value_counts()
    scored = (label == "Unknown") & np.isin(truth, n_labels.index)
    classes = np.unique(truth[scored])
    f1 = f1_score(truth[scored], predicted[scored], labels=classes, average=None, zero_division=0.0)
    frequent = n_labels[classes].to_numpy() >= MIN_LABELS
    return {
        "macro_f1": f1.mean(),
        "accuracy": (predicted == truth)[scored].mean(),
        "under_half": int((f1[frequent] < 0.5).sum()),
        "frequent": int(frequent.sum()),
    }


def peak() -> float:
    """Peak memory of this process in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak() -> None:
    """Let the peak be counted from now on, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def measure(path: Path, method: str, seed: int, *, backed: bool) -> dict[str, float]:
    """Fit and score in this process."""
    warnings.simplefilter("ignore")
    adata = ad.read_h5ad(path, backed="r" if backed else None)
    data_alone = peak()
    predicted, found = METHODS[method](adata, seed)
    memory = {"peak": max(peak(), found["peak_fit"]), "data_alone": data_alone}
    return {**scores(adata, predicted), **found, **memory}


def in_process(*arguments: str) -> str:
    """Run this module in a new process on one thread; its last line."""
    call = [sys.executable, "-m", "benchmarks.atlas", *arguments]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run(
        call,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **one},
        timeout=HOURS,
    )
    return done.stdout.splitlines()[-1]


def parse(text: str, genes: int, seed: int) -> Size:
    """Read a size such as ``20000x50x20``: rows, classes and cohorts."""
    return Size(*map(int, text.split("x")), genes, seed)


def main() -> None:
    """Measure what is asked for; rows of before stay."""
    parser = argparse.ArgumentParser("python -m benchmarks.atlas", description=__doc__)
    add = parser.add_argument
    add(
        "--sizes",
        nargs="+",
        default=["20000x50x20", "100000x100x30"],
        help="rows x classes x cohorts",
    )
    add("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    add("--genes", type=int, default=2_000)
    add("--seeds", nargs="+", type=int, default=[0])
    add("--recipe", default="{}", help="changes to the recipe, as JSON")
    add("--backed", action="store_true", help="leave the rows in the h5ad file")
    add("--out", type=Path, default=HERE / "atlas.csv")
    add("--plant", nargs=3, metavar=("FILE", "SIZE", "RECIPE"), help=argparse.SUPPRESS)
    add("--measure", nargs=3, metavar=("FILE", "METHOD", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        path, method, seed = options.measure
        print(json.dumps(measure(Path(path), method, int(seed), backed=options.backed)))
        return
    if options.plant:
        path, size, recipe = options.plant
        write_atlas(Path(path), Size(**json.loads(size)), Recipe(**json.loads(recipe)))
        print("written")
        return
    for name in options.sizes:
        for seed in options.seeds:
            size = parse(name, options.genes, seed)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "atlas.h5ad"
                # Not here: a new process starts with the peak memory of this one.
                in_process("--plant", str(path), json.dumps(vars(size)), options.recipe)
                for method in options.methods:
                    backed = ["--backed"] if options.backed else []
                    found = json.loads(
                        in_process("--measure", str(path), method, str(seed), *backed)
                    )
                    row = {**vars(size), "recipe": options.recipe, "method": method, **found}
                    table = pd.DataFrame([row]).round(4)
                    if options.out.exists():
                        table = pd.concat([pd.read_csv(options.out), table])
                    table.to_csv(options.out, index=False)
                    print(json.dumps(row))


if __name__ == "__main__":
    main()
