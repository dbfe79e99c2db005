"""Ctrl-C during a training: the step is finished, then the training ends in order."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightning.pytorch.utilities.exceptions import SIGTERMException

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from ._best_weights import BestWeights


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
