"""Peak memory of a training in a process of its own, in memory and from files."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import torch

from . import models
from .measures import Row, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

N_GENES = 2_000
STEPS = 400


def peaks(
    n_in_memory: int = 50_000, n_on_disk: int = 1_000_000, folder: Path | None = None
) -> Iterator[Row]:
    """Peak memory and milliseconds of a step, each in its own process."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for n_obs, sources in (
            (n_in_memory, ("memory", "scanvi")),
            (n_on_disk, ("h5ad", *(("zarr",) if has_annbatch() else ()))),
        ):
            path = Path(name) / f"{n_obs}.h5ad"
            store(path, n_obs)
            for source in sources:
                yield from in_process(path, n_obs, source)
            path.unlink()


def has_annbatch() -> bool:
    """Whether the extra ``outofcore`` is installed."""
    from importlib.util import find_spec

    return find_spec("annbatch") is not None


def store(path: Path, n_obs: int) -> None:
    """Write the cohorts in a process of their own, which then gives its memory back."""
    code = f"from benchmarks.speed.cohorts import repeated; repeated({n_obs}, {N_GENES})"
    call = f"{code}.write_h5ad({str(path)!r})"
    subprocess.run([sys.executable, "-c", call], check=True)


def in_process(path: Path, n_obs: int, source: str) -> list[Row]:
    """Run :func:`measure` in a new process."""
    arguments = [sys.executable, "-m", "benchmarks.speed.memory", str(path), source]
    out = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    wall, processor, peak, latents = map(float, out.split()[-4:])
    data = f"cells {n_obs:,} x {N_GENES:,}, {'file' if source in ('h5ad', 'zarr') else 'in memory'}"
    method = "SCANVI" if source == "scanvi" else "DomainVI"
    if source in ("h5ad", "zarr"):
        method = f"DomainVI ({source})"
    return [
        row("step, ms (own process)", data, method, (wall, processor)),
        row("peak memory, MB", data, method, (peak, peak)),
        row("latents, s (own process)", data, method, (latents, latents)),
    ]


def read(path: Path, source: str) -> AnnData:
    """Open the rows as this source has them."""
    if source == "h5ad":
        return ad.read_h5ad(path, backed="r")
    if source == "zarr":
        return as_zarr(path)
    return ad.read_h5ad(path)


def as_zarr(path: Path) -> AnnData:
    """Copy the matrix to a zarr store and open it there."""
    import zarr

    group = zarr.open_group(str(path.with_suffix(".zarr")), mode="w")
    backed = ad.read_h5ad(path, backed="r")
    ad.io.write_elem(group, "X", backed.X[:1])
    matrix = ad.io.sparse_dataset(group["X"])
    step = 50_000
    for start in range(1, backed.n_obs, step):
        matrix.append(backed.X[start : min(start + step, backed.n_obs)])
    obs, var = backed.obs.copy(), backed.var.copy()
    return ad.AnnData(ad.io.sparse_dataset(group["X"]), obs=obs, var=var)


def measure(path: Path, source: str) -> tuple[float, float, float, float]:
    """Train a few hundred steps; wall and processor milliseconds, peak megabytes, latents."""
    torch.set_num_threads(1)
    adata = read(path, source)
    if source == "scanvi":
        model: Any = models.scanvi(adata, adversarial=False, gene_likelihood="nb")
    else:
        model = models.domainvi(adata)
    wall, processor = models.clocked(model, STEPS).milliseconds()
    started = time.process_time()
    model.get_latent_representation()
    latents = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return wall, processor, peak, latents


if __name__ == "__main__":
    print(*np.round(measure(Path(sys.argv[1]), sys.argv[2]), 3))
