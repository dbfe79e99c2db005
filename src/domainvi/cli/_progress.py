"""Progress of training on standard error; imported when training starts."""

from typing import TextIO

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

_LINES = 20
_ERASE = "\r\x1b[2K"


class EpochReport(Callback):
    """Write a line for each epoch: in place on a terminal, about twenty in all to a file.

    Parameters
    ----------
    stream
        Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.in_place = stream.isatty()

    # The plan logs the figures of an epoch after the hooks of its end, so they are shown later.
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report on the epoch before."""
        every = max(1, (trainer.max_epochs or 1) // _LINES)
        if trainer.current_epoch and (self.in_place or trainer.current_epoch % every == 0):
            self._report(trainer, trainer.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report on the last epoch."""
        self._report(trainer, trainer.current_epoch)
        if self.in_place:
            self.stream.write("\n")

    def _report(self, trainer: Trainer, epoch: int) -> None:
        figures = trainer.callback_metrics
        text = f"training: epoch {epoch}/{trainer.max_epochs}"
        if "train_loss" in figures:
            text += f", loss {figures['train_loss']:.2f}"
        if "domain_accuracy_train" in figures and "domain_accuracy_chance" in figures:
            text += (
                f", cohort found by the adversary {figures['domain_accuracy_train']:.2f}"
                f" (chance {figures['domain_accuracy_chance']:.2f})"
            )
        self.stream.write(f"{_ERASE}{text}" if self.in_place else f"{text}\n")
        self.stream.flush()
