"""Share of a training step that its matrix products would take by themselves."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

# The projection of the encoder, which has most of the work: rows of a batch, components.
N_ROWS, N_COMPONENTS = 128, 100
COUNTED_STEP = 3


class FlopCounter(pl.Callback):
    """Count the floating-point operations of one step, forward and backward."""

    def __init__(self) -> None:
        self.mode = FlopCounterMode(display=False)

    def on_train_batch_start(self, trainer: Any, plan: Any, batch: Any, batch_idx: int) -> None:
        """Start to count."""
        if batch_idx == COUNTED_STEP:
            self.mode.__enter__()

    def on_train_batch_end(
        self, trainer: Any, plan: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop to count."""
        if batch_idx == COUNTED_STEP:
            self.mode.__exit__(None, None, None)


def gemm_rate(n_genes: int, dtype: torch.dtype = torch.float32, repeats: int = 100) -> float:
    """Floating-point operations a second of processor time that torch reaches at this size."""
    x, w = torch.randn(N_ROWS, n_genes, dtype=dtype), torch.randn(n_genes, N_COMPONENTS).to(dtype)
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        for _ in range(10):
            x @ w
        seconds.append((time.process_time() - started) / 10)
    return 2 * N_ROWS * n_genes * N_COMPONENTS / float(np.median(seconds))


def step_flops(model: Any) -> float:
    """Operations of the matrix products of a training step."""
    counter = FlopCounter()
    model.train(
        max_epochs=1,
        max_steps=COUNTED_STEP + 2,
        early_stopping=False,
        callbacks=[counter],
        enable_progress_bar=False,
        logger=False,
    )
    return float(counter.mode.get_total_flops())
