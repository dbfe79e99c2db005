"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_CREATE_FLAGS = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF)


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
    beside = path.with_name(f".domainvi-{token()}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    sync_directory(path.parent)


def put_file(path: Path, data: bytes) -> None:
    """Create or replace a file in one step: readers see the old bytes or the new ones.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from domainvi.io import put_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     put_file(Path(folder) / "notes.txt", b"whole or not at all")
    ...     (Path(folder) / "notes.txt").read_text()
    'whole or not at all'
    """
    temporary = path.with_name(f".domainvi-{token()}.tmp")
    try:
        write_new(temporary, data)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


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


def token() -> str:
    """Return 16 random hexadecimal digits; the seeds of the user's generators are not touched."""
    return os.urandom(8).hex()
