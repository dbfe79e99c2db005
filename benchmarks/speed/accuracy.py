"""Seconds until a model's macro-F1 on the target stays within 1 % of its last one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
from sklearn.metrics import f1_score

from benchmarks.transfer.methods import _batch_size, _scanvi_epochs, _variable
from benchmarks.transfer.tasks import select_tasks
from benchmarks.transfer.units import build_unit

from . import models
from .measures import Row, row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anndata import AnnData

    from benchmarks.transfer.units import Unit

TASKS = ("mirna_ga_to_hiseq", "pbmc_purified_to_3pv2")


class Curve(pl.Callback):
    """Macro-F1 of the target after each epoch, by the time that training took until then."""

    def __init__(self, model: Any, unit: Unit) -> None:
        self.model, self.unit = model, unit
        self.started = time.perf_counter(), time.process_time()
        self.evaluation = np.zeros(2)
        self.points: list[tuple[float, float, float]] = []

    def on_train_epoch_end(self, *args: Any) -> None:
        """Predict the target; the time that it takes is not counted."""
        before = np.array([time.perf_counter(), time.process_time()])
        trained = self.model.is_trained_
        self.model.is_trained_ = True
        self.model.module.eval()
        score = self.score()
        self.model.module.train()
        self.model.is_trained_ = trained
        spent = before - self.started - self.evaluation
        self.points.append((*spent, score))
        self.evaluation += np.array([time.perf_counter(), time.process_time()]) - before

    def score(self) -> float:
        """Macro-F1 on the scored rows."""
        predicted = np.asarray(self.model.predict())[self.unit.scored].astype(str)
        truth = np.array(self.unit.classes)[self.unit.truth[self.unit.scored]]
        return float(f1_score(truth, predicted, average="macro"))

    def reached(self, share: float = 0.99) -> tuple[float, float]:
        """Wall and processor time after which the score stayed at this share of the last."""
        enough = np.array([p[2] for p in self.points]) >= share * self.points[-1][2]
        first = len(enough) - int(np.argmin(enough[::-1])) if not enough.all() else 0
        return self.points[first][:2]


def times(directory: Path, rounds: int = 3) -> Iterator[Row]:
    """Measure both models on a microRNA and a single-cell task."""
    for task in select_tasks(directory, list(TASKS)):
        unit = build_unit(directory, task, "none", "0", 0)
        for _ in range(rounds):
            for method in ("DomainVI", "SCANVI"):
                curve = fit(method, unit)
                name = "until 99 % of the last macro-F1, s"
                yield row(name, task.name, method, curve.reached())
                yield row("whole training, s", task.name, method, curve.points[-1][:2])
                last = curve.points[-1][2]
                yield row("last macro-F1", task.name, method, (last, last))


def fit(method: str, unit: Unit) -> Curve:
    """Train at the defaults; SCANVI for as many epochs as in the transfer benchmark."""
    data: AnnData = unit.adata.copy() if method == "DomainVI" else _variable(unit)
    data.obs["cohort"] = data.obs["domain"]
    if method == "DomainVI":
        model = models.domainvi(data)
        arguments: dict[str, Any] = {}
    else:
        model = models.scanvi(data, adversarial=False)
        size = _batch_size(unit)
        arguments = {"max_epochs": _scanvi_epochs(data.n_obs, size), "batch_size": size}
        arguments |= {"train_size": 1.0}
    curve = Curve(model, unit)
    model.train(callbacks=[curve], **models.QUIET, **arguments)
    return curve
