"""One writer at a time: a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

LockState = Literal["held", "busy", "unsupported"]


@contextmanager
def directory_lock(directory: Path) -> Iterator[LockState]:
    """Try to lock a directory, without waiting.

    Some network file systems cannot lock; there the state is ``"unsupported"`` and the caller
    goes on, since a single writer needs no lock.
    """
    if fcntl is None:
        yield "unsupported"
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> LockState:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return "busy" if error.errno in (errno.EAGAIN, errno.EACCES) else "unsupported"
    return "held"
