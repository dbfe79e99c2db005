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
# A pool of rows from a file serves 256 steps.
STEPS = 2 * 256 + 10
HOUR = 3600  # the deadline of each process
METHODS = {
    "memory": "DomainVI",
    "scanvi": "SCANVI",
    "h5ad": "DomainVI (h5ad)",
    "zarr": "DomainVI (zarr)",
}


def peaks(peer: str, n_obs: int, rounds: int = 2) -> Iterator[Row]:
    """Peak memory and milliseconds of a step beside a peer, each in its own process.

    Parameters
    ----------
    peer
        ``"scanvi"``, or where DomainVI reads the rows from: ``"h5ad"``, or ``"zarr"``, which
        takes Python 3.12 and the extra ``outofcore``.
    n_obs
        Number of rows.
    rounds
        Runs of each.
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "rows.h5ad"
        store(path, n_obs, "zarr" if peer == "zarr" else "h5ad")
        where = "in memory" if peer == "scanvi" else f"in memory and in {peer}"
        for _ in range(rounds):
            for source in ("memory", peer):
                yield from in_process(path, source, f"cells {n_obs:,} x {N_GENES:,}, {where}")


def store(path: Path, n_obs: int, kind: str = "h5ad") -> None:
    """Write the cohorts in a process of their own, which then gives its memory back."""
    code = f"from benchmarks.speed.cohorts import repeated; repeated({n_obs}, {N_GENES})"
    call = f"{code}.write_h5ad({str(path)!r})"
    subprocess.run([sys.executable, "-c", call], check=True, timeout=HOUR)
    if kind == "zarr":
        write_zarr(path)


def in_process(path: Path, source: str, data: str) -> list[Row]:
    """Run :func:`measure` in a new process."""
    arguments = [sys.executable, "-m", "benchmarks.speed.memory", str(path), source]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=HOUR)
    wall, processor, peak, latents = map(float, done.stdout.split()[-4:])
    method = METHODS[source]
    return [
        row("mean of the steps, ms (own process)", data, method, (wall, processor)),
        row("peak memory, MB", data, method, (peak, peak)),
        row("latents, s (own process)", data, method, (latents, latents)),
    ]


def read(path: Path, source: str) -> AnnData:
    """Open the rows as this source has them."""
    if source == "h5ad":
        return ad.read_h5ad(path, backed="r")
    if source == "zarr":
        return open_zarr(path)
    return ad.read_h5ad(path)


def write_zarr(path: Path) -> None:
    """Copy a file to a zarr store beside it, in chunks."""
    import zarr

    group = zarr.open_group(str(path.with_suffix(".zarr")), mode="w")
    backed = ad.read_h5ad(path, backed="r")
    ad.io.write_elem(group, "X", backed.X[:1])
    matrix = ad.io.sparse_dataset(group["X"])
    step = 50_000
    for start in range(1, backed.n_obs, step):
        matrix.append(backed.X[start : min(start + step, backed.n_obs)])
    ad.io.write_elem(group, "obs", backed.obs)
    ad.io.write_elem(group, "var", backed.var)


def open_zarr(path: Path) -> AnnData:
    """Open the store beside a file; the matrix stays there."""
    import zarr

    group = zarr.open_group(str(path.with_suffix(".zarr")), mode="r")
    return ad.AnnData(
        ad.io.sparse_dataset(group["X"]),
        obs=ad.io.read_elem(group["obs"]),
        var=ad.io.read_elem(group["var"]),
    )


def measure(path: Path, source: str) -> tuple[float, float, float, float]:
    """Train some hundred steps; wall and processor milliseconds, peak megabytes, latents."""
    torch.set_num_threads(1)
    adata = read(path, source)
    if source == "scanvi":
        model: Any = models.scanvi(adata, adversarial=False, gene_likelihood="nb")
    else:
        model = models.domainvi(adata)
    wall, processor = models.clocked(model, STEPS).mean()
    started = time.process_time()
    model.get_latent_representation()
    latents = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return wall, processor, peak, latents


if __name__ == "__main__":
    print(*np.round(measure(Path(sys.argv[1]), sys.argv[2]), 3))
