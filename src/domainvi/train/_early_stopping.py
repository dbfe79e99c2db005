"""Early stopping that waits until the weight of the adversary, or of independence, has risen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import EarlyStopping

if TYPE_CHECKING:
    import lightning.pytorch as pl

logger = logging.getLogger(__name__)


class EarlyStoppingAfterWarmup(EarlyStopping):
    """Stop when the loss of held-out rows no longer falls, but not before an epoch.

    That loss leaves out what encoder and domain heads fight over, so it rises as soon as alignment
    sets in. Counted from the first epoch on, it would end trainings before they have aligned.

    Parameters
    ----------
    warmup_epochs
        Epochs of which the losses are not looked at.
    **kwargs
        Arguments of :class:`lightning.pytorch.callbacks.EarlyStopping`.
    """

    def __init__(self, warmup_epochs: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.warmup_epochs = warmup_epochs

    def _run_early_stopping_check(self, trainer: pl.Trainer) -> None:
        if trainer.current_epoch < self.warmup_epochs:
            return
        super()._run_early_stopping_check(trainer)
        if trainer.should_stop and self.stopped_epoch == trainer.current_epoch:
            logger.info(
                "Training stopped after %d epochs: %s has not improved in the last %d.",
                trainer.current_epoch + 1,
                self.monitor,
                self.wait_count,
            )
