"""The models that are compared, each behind the same few calls, and a clock for their steps."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import scvi
from scvi.train import SemiSupervisedAdversarialTrainingPlan

import domainvi as dv

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

QUIET = {"enable_progress_bar": False, "logger": False}


class StepClock(pl.Callback):
    """Time between the ends of successive training steps, wall and processor."""

    def __init__(self, skip: int = 5) -> None:
        self.skip = skip
        self.ends: list[tuple[float, float]] = []

    def on_train_batch_end(self, *args: Any) -> None:
        """Note the time."""
        self.ends.append((time.perf_counter(), time.process_time()))

    def milliseconds(self) -> tuple[float, float]:
        """Median of a step, after the first few: wall and processor."""
        wall, processor = np.median(self._steps(), axis=0)
        return float(wall), float(processor)

    def mean(self) -> tuple[float, float]:
        """As :meth:`milliseconds`, the mean: what happens once in many steps counts."""
        wall, processor = self._steps().mean(axis=0)
        return float(wall), float(processor)

    def _steps(self) -> NDArray[np.float64]:
        if len(self.ends) < self.skip + 5:
            msg = f"Training stopped after {len(self.ends)} steps, too few to measure."
            raise RuntimeError(msg)
        return np.diff(np.array(self.ends[self.skip :]), axis=0) * 1e3


def domainvi(adata: AnnData, **kwargs: Any) -> dv.DomainVI:
    """Set DomainVI up at its defaults."""
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    return dv.DomainVI(adata, **kwargs)


def scanvi(adata: AnnData, *, adversarial: bool, **kwargs: Any) -> scvi.model.SCANVI:
    """Set SCANVI up, with the adversarial plan of scvi-tools or its own."""
    scvi.model.SCANVI.setup_anndata(
        adata, batch_key="cohort", labels_key="label", unlabeled_category="Unknown"
    )
    model = scvi.model.SCANVI(adata, **kwargs)
    if adversarial:
        model._training_plan_cls = SemiSupervisedAdversarialTrainingPlan
    return model


def clocked(model: Any, n_steps: int, **kwargs: Any) -> StepClock:
    """Train for a number of steps through the public ``train`` and return the clock."""
    clock = StepClock()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.train(
            max_epochs=1000,
            max_steps=n_steps,
            batch_size=128,
            early_stopping=False,
            callbacks=[clock],
            **QUIET,
            **kwargs,
        )
    return clock
