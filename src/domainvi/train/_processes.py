"""Training in several processes: what the trainer is told, and who writes."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping

from domainvi._compat import SimpleLogger

PATIENCE = 10
MONITOR = "validation_loss"


def is_main_process() -> bool:
    """Whether this process is the first of those that train together, or alone."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not distributed or torch.distributed.get_rank() == 0


def is_distributed(arguments: dict[str, Any]) -> bool:
    """Whether arguments of the trainer ask for several processes."""
    strategy = arguments.get("strategy")
    return "ddp" in str(getattr(strategy, "strategy_name", strategy))


def trainer_arguments(
    accelerator: str, devices: int | list[int] | str, early_stopping: bool, others: dict[str, Any]
) -> dict[str, Any]:
    """Arguments of :class:`scvi.train.TrainRunner` beyond model, plan and data.

    The trainer of scvi-tools drops early stopping with several processes, and writes its history
    to the working directory. Here the figures are means over all processes, so all of them stop
    at the same epoch, and nothing is written. Our sampler shares the rows out itself.
    """
    arguments = {"accelerator": accelerator, "devices": devices, **others}
    if not is_distributed(others):
        return arguments | {
            "early_stopping": early_stopping,
            "early_stopping_monitor": MONITOR,
            "early_stopping_patience": PATIENCE,
        }
    callbacks = list(others.get("callbacks", []))
    if early_stopping:
        callbacks.append(EarlyStopping(MONITOR, patience=PATIENCE, mode="min"))
        arguments.setdefault("check_val_every_n_epoch", 1)
    arguments.setdefault("logger", SimpleLogger())
    return arguments | {"callbacks": callbacks, "use_distributed_sampler": False}
