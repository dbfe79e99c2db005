"""Time and memory of explaining many rows."""

from __future__ import annotations

import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

import domainvi as dv

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20
# Rows, genes and method.
SIZES = (
    (2_000, 2_000, "deeplift"),
    (20_000, 2_000, "deeplift"),
    (100_000, 2_000, "deeplift"),
    (200, 2_000, "integrated_gradients"),
    (200, 2_000, "gradient_shap"),
)


def rows(sizes: tuple[tuple[int, int, str], ...] = SIZES) -> Iterator[dict[str, Any]]:
    """Yield one row a size, each measured in a process of its own, which has a peak of its own."""
    context = get_context("spawn")
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=context) as process:
            yield process.submit(measure, *size).result(timeout=3600)


def measure(n_rows: int, n_genes: int, method: str) -> dict[str, Any]:
    """Explain rows of a cohort that is like those of training."""
    torch.set_num_threads(1)
    small = dv.data.synthetic_cohorts(1000, n_genes, n_markers=20, seed=0)
    dv.DomainVI.setup_anndata(small, batch_key="domain", labels_key="label")
    model = dv.DomainVI(small)
    model.train(max_epochs=1, enable_progress_bar=False)
    adata = repeated(small, n_rows)
    before, start = resident(), time.process_time()
    genes = model.explain(adata, method=method)
    return {
        "rows": n_rows,
        "genes": n_genes,
        "method": method,
        "data_mib": round(adata.X.nbytes / MIB),
        "above_data_mib": round(peak() - before),
        "cpu_seconds": round(time.process_time() - start, 1),
        "incompleteness": genes.attrs.get("incompleteness", float("nan")),
    }


def repeated(adata: AnnData, n_rows: int) -> AnnData:
    """Repeat rows until there are enough, so that drawing them needs no memory of its own."""
    order = np.arange(n_rows) % adata.n_obs
    obs = adata.obs.iloc[order].set_axis(pd.RangeIndex(n_rows).astype(str))
    return AnnData(adata.X[order], obs=obs, var=adata.var)


def resident() -> float:
    """Memory that the process has now, in MiB; Linux."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize() / MIB


def peak() -> float:
    """Most memory that the process has had, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB
