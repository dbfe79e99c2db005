"""Files and directories that appear whole or not at all: one writer, and no trace of dead ones."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from ._paths import SAFE_FLAGS, TEMPORARY_PATTERN, WEIGHTS_PATTERN, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

LockState = Literal["held", "busy", "unsupported"]

_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE_FLAGS
_NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF)
# Only where the file system cannot lock: no save takes that long, so its writer is gone.
_STALE_SECONDS = 24 * 3600


def write_new(path: Path, data: bytes) -> None:
    """Write a file that does not exist yet and wait until it is on the disk."""
    descriptor = os.open(path, _CREATE_FLAGS, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path``, and move what was written there into place at the end.

    An error or an interrupt leaves what was at ``path`` before. The name has the same suffix.
    """
    beside = path.with_name(f".domainvi-{_token()}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    sync_directory(path.parent)


def put_file(path: Path, data: bytes) -> None:
    """Create or replace a file in one step: readers see the old bytes or the new ones."""
    with whole_file(path) as beside:
        write_new(beside, data)


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable, where the file system can do that."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def directory_lock(directory: Path) -> Iterator[LockState]:
    """Try to lock a directory, without waiting; the kernel drops the lock of a dead holder.

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


def temporary_sibling(target: Path) -> Path:
    """Name a directory beside ``target``, of fixed length and bound to its name."""
    return target.with_name(f"{_prefix(target)}{_token()}.tmp")


def remove_stale_siblings(target: Path) -> None:
    """Remove temporary directories of dead writers of ``target``; living ones hold a lock."""
    with suppress(OSError):
        for path in target.parent.iterdir():
            if path.name.startswith(_prefix(target)) and path.name.endswith(".tmp"):
                _remove_if_stale(path)


def remove_leftovers(directory: Path, keep: str) -> None:
    """Remove temporary files, and weights other than ``keep``, from a model directory.

    A file that cannot be removed is harmless and tried again at the next save.
    """
    with suppress(OSError):
        for path in directory.iterdir():
            old = WEIGHTS_PATTERN.fullmatch(path.name) and path.name != keep
            if old or TEMPORARY_PATTERN.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()


def _remove_if_stale(path: Path) -> None:
    with suppress(OSError):
        if kind_of(path) != "directory":
            return
        with directory_lock(path) as state:
            old = time.time() - path.stat().st_mtime > _STALE_SECONDS
            if state == "held" or (state == "unsupported" and old):
                shutil.rmtree(path, ignore_errors=True)


def _prefix(target: Path) -> str:
    digest = hashlib.sha256(target.name.encode(errors="surrogateescape")).hexdigest()
    return f".domainvi-{digest[:12]}-"


def _token() -> str:
    """Return 16 random hexadecimal digits; the seeds of the user's generators are not touched."""
    return os.urandom(8).hex()
