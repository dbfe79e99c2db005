"""Each measurement beside its peer, in alternating runs of one process."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import models
from .cohorts import bulk, repeated, single_cell
from .roofline import gemm_rate, step_flops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData

Row = dict[str, Any]
# At its default learning rate SCANVI's losses become NaN on the bulk data.
ADVERSARIAL = {"plan_kwargs": {"adversarial_classifier": True, "lr": 1e-5}}
SHAPES: dict[str, Callable[[], AnnData]] = {
    "bulk 10,000 x 5,000 dense": lambda: bulk(10_000, 5_000),
    "cells 50,000 x 2,000 CSR": lambda: single_cell(50_000, 2_000),
}


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor time of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def row(measure: str, data: str, method: str, times: tuple[float, float]) -> Row:
    """Make one line of the results."""
    return {
        "measure": measure, "data": data, "method": method, "wall": times[0], "processor": times[1]
    }  # fmt: skip


def step(data: str, rounds: int = 3, n_steps: int = 60) -> Iterator[Row]:
    """Milliseconds of a training step through ``train``, and seconds of what comes around it.

    A step of SCANVI has 128 rows of all and 128 labelled ones, one of DomainVI 64 and 64. Where the
    processor has instructions for bfloat16, DomainVI's step in it stands beside SCANVI's in single
    precision.
    """
    adata = SHAPES[data]()
    ours = models.domainvi(adata)
    theirs = models.scanvi(adata, adversarial=True, gene_likelihood="nb")
    peer, steps = "SCANVI, adversarial", []
    for i in range(rounds):
        started = time.perf_counter(), time.process_time()
        clock = models.clocked(ours, n_steps)
        whole = time.perf_counter() - started[0], time.process_time() - started[1]
        inside = clock.ends[-1][0] - clock.ends[0][0], clock.ends[-1][1] - clock.ends[0][1]
        steps.append(clock.milliseconds())
        yield row("step, ms", data, "DomainVI", steps[-1])
        around = whole[0] - inside[0], whole[1] - inside[1]
        name = "around the steps of a first fit, s" if i == 0 else "around the steps of a refit, s"
        yield row(name, data, "DomainVI", around)
        beside = models.clocked(theirs, n_steps, **ADVERSARIAL).milliseconds()
        yield row("step, ms", data, peer, beside)
        if has_bf16():
            clock = models.clocked(ours, n_steps, precision="bf16-mixed")
            yield row("step in bfloat16, ms", data, "DomainVI", clock.milliseconds())
            yield row("step in bfloat16, ms", data, f"{peer}, fp32", beside)
    yield from roofline(ours, data, float(np.median([s[1] for s in steps])))


def roofline(model: Any, data: str, step_milliseconds: float) -> Iterator[Row]:
    """Share of a step that its matrix products would take at the rate that torch reaches."""
    work, rate = step_flops(model), gemm_rate(model.module.n_input)
    share = 100 * work / rate / (step_milliseconds / 1e3)
    for name, value in (
        ("matrix products of a step, MFLOP", work / 1e6),
        ("torch's matrix products, GFLOP/s", rate / 1e9),
        ("share of the GEMM roofline, %", share),
    ):
        yield row(name, data, "DomainVI", (value, value))


def has_bf16() -> bool:
    """Whether the processor multiplies in bfloat16, as far as Linux tells."""
    path = Path("/proc/cpuinfo")
    return path.exists() and bool(re.search("avx512_bf16|amx_bf16", path.read_text()))


def inference(n_obs: int = 100_000, n_genes: int = 2_000, rounds: int = 5) -> Iterator[Row]:
    """Seconds of latents and predictions of all rows."""
    data = f"cells {n_obs:,} x {n_genes:,} CSR"
    adata = repeated(n_obs, n_genes)
    small = repeated(4_000, n_genes)
    ours = models.domainvi(small)
    models.clocked(ours, 20)
    theirs = models.scanvi(adata, adversarial=False)
    models.clocked(theirs, 2)
    models.domainvi(adata)
    for _ in range(rounds):
        for method, model in (("DomainVI", ours), ("SCANVI", theirs)):
            own = model._validate_anndata(adata) if method == "DomainVI" else adata
            for name in ("get_latent_representation", "predict"):
                call = getattr(model, name)
                yield row(f"{name}, s", data, method, seconds(lambda c=call, a=own: c(a)))


def scaling(
    sizes: tuple[int, ...] = (10_000, 30_000, 100_000, 300_000, 1_000_000), rounds: int = 1
) -> Iterator[Row]:
    """Seconds of one epoch, the latents and the predictions by the number of rows."""
    for n_obs in sizes:
        data = f"{n_obs:,} rows"
        ours = models.domainvi(repeated(n_obs, 2_000))
        for _ in range(rounds):
            clock = models.clocked(ours, 110)
            n_steps = -(-int(0.9 * n_obs) // 64)
            wall, processor = (t * n_steps / 1e3 for t in clock.mean())
            yield row("an epoch, s (steps times their mean)", data, "DomainVI", (wall, processor))
            yield row("latents, s", data, "DomainVI", seconds(ours.get_latent_representation))
            yield row("predict, s", data, "DomainVI", seconds(ours.predict))


def slope(sizes: list[float], times: list[float]) -> float:
    """Slope of log time in log size."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
