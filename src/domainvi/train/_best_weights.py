"""Best weights in memory, checkpoints on the disk, and an end after the step on Ctrl-C."""

from __future__ import annotations

import math
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from lightning.pytorch.utilities.exceptions import SIGTERMException

from domainvi.errors import ModelFileError

from ._processes import random_state, set_random_state

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import FrameType

    import torch

    from domainvi.data import TransferDataModule


# What a checkpoint holds of how far a training has come.
PROGRESS = ("rows", "best", "best_epoch", "best_loss", "finished")


class BestWeights(pl.Callback):
    """Keep the weights of the best epoch, and write checkpoints between epochs.

    A checkpoint is written before the first epoch, which tells at once whether the folder can be
    used, before every further ``every``-th, and at the end. It holds all that decides the rest of
    the training: weights, optimiser, schedules, early stopping, random states, history.

    Parameters
    ----------
    data
        Data module of the training, whose sampler draws.
    directory
        Where to write checkpoints; ``None`` writes none.
    every
        Epochs between checkpoints.
    """

    def __init__(
        self,
        data: TransferDataModule,
        directory: str | os.PathLike[str] | None = None,
        every: int = 1,
    ) -> None:
        self.sampler, self.every = data.sampler, every
        self.directory = None if directory is None else Path(directory)
        self.rows: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch, self.best_loss = 0, math.inf
        self.interrupted = self.finished = False
        self._random: dict[str, Any] = {}
        self._restored: dict[str, Any] | None = None

    @property
    def epoch(self) -> int:
        """Number of whole epochs that are done."""
        return len(self.rows)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds besides lightning's own part."""
        return {"random": self._random, **{name: getattr(self, name) for name in PROGRESS}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over from a checkpoint; random states follow when the first epoch begins."""
        if state_dict.keys() != {"random", *PROGRESS}:
            names = ", ".join(sorted(map(str, state_dict))) or "nothing"
            msg = (
                f"checkpoint_dir={str(self.directory)!r} is no complete checkpoint: what a "
                f"training keeps is {names:.200}. Remove it and train anew."
            )
            raise ModelFileError(msg)
        self._restored = state_dict["random"]
        for name in PROGRESS:
            setattr(self, name, state_dict[name])

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remember the weights to go back to if a checkpoint cannot be used."""
        self._remember(pl_module, 0, math.inf)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replay the history, and let a training that had ended end again."""
        for epoch, row in enumerate(self.rows):
            for logger in trainer.loggers:
                logger.log_metrics({**row, "epoch": epoch}, step=epoch)
        trainer.should_stop = self.finished

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the epoch before and write a checkpoint, or go on from one."""
        if self._restored is not None:
            set_random_state(self._restored, sampler=self.sampler, plan=pl_module)
            self._restored = None
            return
        self._close_epoch(trainer, pl_module)
        if self.epoch % self.every == 0:
            self._write(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop after this step when an interrupt has come."""
        trainer.should_stop = trainer.should_stop or self.interrupted

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the last epoch, unless it was cut short."""
        if not self.interrupted:
            self._close_epoch(trainer, pl_module)
            self.finished = True
            self._write(trainer, pl_module)

    def _close_epoch(self, trainer: pl.Trainer, plan: pl.LightningModule) -> None:
        # The plan logs at the end of an epoch, so its numbers are whole when the next one starts.
        if trainer.current_epoch == self.epoch:
            return
        self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        # Without held-out rows the latest weights are the best.
        loss = self.rows[-1].get("validation_loss", -float(self.epoch))
        if math.isfinite(loss) and loss <= self.best_loss:
            self._remember(plan, self.epoch, loss)

    def _remember(self, plan: pl.LightningModule, epoch: int, loss: float) -> None:
        state = plan.module.state_dict()  # type: ignore[union-attr]
        self.best = {name: value.detach().clone() for name, value in state.items()}
        self.best_epoch, self.best_loss = epoch, loss

    def _write(self, trainer: pl.Trainer, plan: pl.LightningModule) -> None:
        if self.directory is not None:
            self._random = random_state(sampler=self.sampler, plan=plan)
            trainer.save_checkpoint(self.directory)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Count the epoch that is about to begin as not begun."""
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        for count in (progress["current"], progress["total"]):
            count["ready"] = count["started"]


@contextmanager
def interruptible(best_weights: BestWeights) -> Iterator[None]:
    """Let the first Ctrl-C of a block end the training after its step, and a second one at once.

    Only the main thread of a process gets signals; elsewhere nothing changes.

    Raises
    ------
    KeyboardInterrupt
        On the second Ctrl-C, which lightning would turn into an exit of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if best_weights.interrupted:
            raise KeyboardInterrupt
        best_weights.interrupted = True

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except SIGTERMException:
        # Lightning has put the handlers back; one that was there before decides, or the process
        # ends as terminated ones do, and not with success.
        signal.raise_signal(signal.SIGTERM)
        raise
    except SystemExit as error:
        if best_weights.interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
