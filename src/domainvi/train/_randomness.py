"""The random numbers of a training: a seed, one owner at a time, and a state that can be stored."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_turn = threading.RLock()


def _renew_turn() -> None:
    """Forget, in a forked process, the thread of the parent whose turn it was."""
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_turn)


@contextmanager
def seeded(seed: int, *, devices: list[int] | None = None) -> Iterator[None]:
    """Seed torch for a block, and leave its generators afterwards as they were.

    Torch has one generator for all threads of a process. So threads take turns with these blocks:
    two models that are trained at once in one process come out as if trained one after the other.
    To train at the same time, use processes.

    Parameters
    ----------
    seed
        Of torch's generators.
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
