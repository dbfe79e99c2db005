"""Processes and threads: arguments of the trainer, when it stops, who writes, seeds, quiet."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import DDPStrategy
from scvi import settings
from scvi.train import LoudEarlyStopping

from domainvi._compat import SimpleLogger, parse_device_args
from domainvi.data import process_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    import lightning.pytorch as pl


PATIENCE = 10
MONITOR = "validation_loss"
STOPPING = "early_stopping_"
# What lightning says in every training: of accelerators, of its services, and that it has ended.
_SPARE = ("GPU available", "TPU available", "HPU available", "💡 Tip", "`Trainer.fit` stopped")
_SPEAKER = "lightning.pytorch.utilities.rank_zero"


def chosen_seed(seed: int | None) -> int:
    """Return the seed that was passed, that of ``scvi.settings`` if ``None``, and 0 without one."""
    if seed is None:
        seed = settings.seed
    return 0 if seed is None else seed


def is_main_process() -> bool:
    """Whether this process is the first of those that train together, or alone."""
    return process_number() == 0


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


class ResumedEarlyStopping(LoudEarlyStopping):
    """Early stopping of scvi-tools, whose warm-up counts the epochs of the training.

    That of scvi-tools counts those of the process, and so anew when a training is resumed. The loss
    of held-out rows leaves out what encoder and domain heads fight over, so it rises as soon as
    alignment sets in; without a warm-up it would end trainings before they have aligned.
    """

    def _run_early_stopping_check(self, trainer: pl.Trainer) -> None:
        self._current_step = trainer.current_epoch
        super()._run_early_stopping_check(trainer)


def trainer_arguments(
    accelerator: str,
    devices: int | list[int] | str,
    early_stopping: bool,
    warmup_epochs: int,
    others: dict[str, Any],
) -> dict[str, Any]:
    """Arguments of :class:`scvi.train.TrainRunner` beyond model, plan and data.

    The trainer of scvi-tools drops early stopping with several processes, and writes its history
    to the working directory. Here the losses are means over all processes, so all of them stop
    at the same epoch, and nothing is written. Our sampler shares the rows out itself.
    """
    arguments = {"accelerator": accelerator, "devices": devices, **others}
    given = {
        name.removeprefix(STOPPING): arguments.pop(name)
        for name in list(arguments)
        if name.startswith(STOPPING)
    }
    defaults = {"monitor": MONITOR, "patience": PATIENCE, "warmup_epochs": warmup_epochs}
    stopping = ResumedEarlyStopping(**{**defaults, **given})
    if early_stopping:
        arguments["callbacks"] = [*others.get("callbacks", []), stopping]
        arguments.setdefault("check_val_every_n_epoch", 1)
    if is_distributed(accelerator, devices, others):
        arguments.setdefault("logger", SimpleLogger())
        arguments["use_distributed_sampler"] = False
    return arguments


_turn = threading.RLock()


def _renew_turn() -> None:
    """Forget, in a forked process, the thread of the parent whose turn it was."""
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_turn)


def is_told(record: logging.LogRecord) -> bool:
    """Whether a line of lightning says something that users of a model need."""
    return not record.getMessage().startswith(_SPARE)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the lines that lightning writes in every training; others still come.

    Filters are of all threads of a process, which take turns with these blocks.
    """
    speaker = logging.getLogger(_SPEAKER)
    with _turn, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        speaker.addFilter(is_told)
        try:
            yield
        finally:
            speaker.removeFilter(is_told)


@contextmanager
def seeded(seed: int, *, devices: list[int] | None = None) -> Iterator[None]:
    """Seed torch for a block, and leave its generators afterwards as they were.

    Torch has one generator for all threads of a process. So threads take turns with these blocks:
    two models that are trained at once in one process come out as if trained one after the other.
    To train at the same time, use processes.

    Parameters
    ----------
    seed
        Seed of torch's generators.
    devices
        GPUs whose generators are put back too; all of them if ``None``.
    """
    with _turn, torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def random_state(**parts: Any) -> dict[str, Any]:
    """Gather the states of torch's generators and of the numpy generators that parts hold.

    Parameters
    ----------
    **parts
        Objects; a torch module is searched with all modules in it.
    """
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    generators = numpy_generators(parts)
    return state | {"numpy": {k: g.bit_generator.state for k, g in generators.items()}}


def set_random_state(state: dict[str, Any], **parts: Any) -> None:
    """Undo :func:`random_state`, for the same parts."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_initialized() and "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
    for name, generator in numpy_generators(parts).items():
        generator.bit_generator.state = state["numpy"][name]


def numpy_generators(parts: dict[str, Any]) -> dict[str, np.random.Generator]:
    """Find the numpy generators among the attributes of objects, and of modules in them."""
    found = {}
    for name, part in parts.items():
        inner = part.named_modules() if isinstance(part, torch.nn.Module) else [("", part)]
        for path, owner in inner:
            for attribute, value in vars(owner).items():
                if isinstance(value, np.random.Generator):
                    found[f"{name}.{path}.{attribute}"] = value
    return found
