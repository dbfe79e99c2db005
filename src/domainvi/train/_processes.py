"""Training in several processes: what the trainer is told, and who writes."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import DDPStrategy

from domainvi._compat import SimpleLogger, parse_device_args

PATIENCE = 10
MONITOR = "validation_loss"
STOPPING = "early_stopping_"


def is_main_process() -> bool:
    """Whether this process is the first of those that train together, or alone."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not distributed or torch.distributed.get_rank() == 0


def is_distributed(
    accelerator: str, devices: int | list[int] | str, others: dict[str, Any]
) -> bool:
    """Whether arguments of the trainer ask for several processes.

    Lightning takes one process a device, whatever the strategy is called.
    """
    strategy = others.get("strategy")
    if isinstance(strategy, DDPStrategy) or "ddp" in str(strategy):
        return True
    name, chosen, _ = parse_device_args(accelerator, devices, "torch")
    kind = AcceleratorRegistry.get(name)
    n_devices = len(kind.get_parallel_devices(kind.parse_devices(chosen)))
    return n_devices * others.get("num_nodes", 1) > 1


def trainer_arguments(
    accelerator: str, devices: int | list[int] | str, early_stopping: bool, others: dict[str, Any]
) -> dict[str, Any]:
    """Arguments of :class:`scvi.train.TrainRunner` beyond model, plan and data.

    The trainer of scvi-tools drops early stopping with several processes, and writes its history
    to the working directory. Here the figures are means over all processes, so all of them stop
    at the same epoch, and nothing is written. Our sampler shares the rows out itself.
    """
    stopping = {"early_stopping_monitor": MONITOR, "early_stopping_patience": PATIENCE}
    arguments = {"accelerator": accelerator, "devices": devices, **stopping, **others}
    if not is_distributed(accelerator, devices, others):
        return arguments | {"early_stopping": early_stopping}
    callbacks = list(others.get("callbacks", []))
    given = {k: arguments.pop(k) for k in list(arguments) if k.startswith(STOPPING)}
    if early_stopping:
        callbacks.append(EarlyStopping(**{k.removeprefix(STOPPING): v for k, v in given.items()}))
        arguments.setdefault("check_val_every_n_epoch", 1)
    arguments.setdefault("logger", SimpleLogger())
    return arguments | {"callbacks": callbacks, "use_distributed_sampler": False}
