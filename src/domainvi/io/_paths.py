"""Paths that may be opened, never links or devices, and one wording for what is wrong with them."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from domainvi.errors import InputError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST_NAME = "model.json"
WEIGHTS_PATTERN = re.compile(r"weights-([0-9a-f]{16})\.safetensors")
TEMPORARY_PATTERN = re.compile(r"\.domainvi-[0-9a-f]{16}(\.\w+)?")

RESTORE = "Copy the model again from its source, or save it again with model.save()."
NO_PICKLE = (
    "DomainVI never opens pickles, because they can run code: ask for a model that was saved with "
    "model.save() of DomainVI, or move this file away."
)
_WRITE_REMEDIES = {
    errno.ENOSPC: "Free some space or choose another disk.",
    errno.EDQUOT: "Your quota is used up: free some space or choose another disk.",
    errno.EACCES: "Choose a directory in which you may write.",
    errno.EPERM: "Choose a directory in which you may write.",
    errno.EROFS: "This file system is read-only: choose another directory.",
}
_PICKLE_SUFFIXES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill"}
# Links are refused by the kernel where it can.
SAFE_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))
# Non-blocking, so that a named pipe cannot hold us.
_READ_FLAGS = os.O_RDONLY | SAFE_FLAGS | getattr(os, "O_NONBLOCK", 0)

Kind = Literal["missing", "file", "directory", "link", "special"]


def fault(path: Path, problem: str, remedy: str) -> ModelFileError:
    """Build the error for one model path: one line, what is wrong and what to do."""
    line = f"{str(path)!r} {problem}. {remedy}"
    return ModelFileError(" ".join(line.split()))


@contextmanager
def system_faults(path: Path, n_bytes: int | None = None) -> Iterator[None]:
    """Turn what the operating system refuses, in reading or in writing bytes, into our error."""
    try:
        yield
    except ModelFileError:
        raise
    except OSError as error:
        problem = "cannot be read"
        remedy = "Check that the path is right and that you may read it."
        if n_bytes is not None:
            problem = f"cannot be written ({n_bytes} bytes)"
            remedy = _WRITE_REMEDIES.get(error.errno or 0, "Choose another directory, save again.")
            remedy += " The model in memory is intact and no half-written file is left."
        reason = error.strerror or str(error) or type(error).__name__
        raise fault(path, f"{problem}: {reason:.200}", remedy) from error


def check_location(directory: str | os.PathLike[str]) -> Path:
    """Make the path of a model directory absolute; refuse ``..``, which hides where it leads."""
    if not isinstance(directory, str | os.PathLike):
        msg = f"directory must be a path, got {type(directory).__name__}."
        raise InputError(msg)
    text = os.fspath(directory)
    try:
        usable = bool(text) and isinstance(text, str) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        msg = f"directory must be a non-empty text path without NUL characters, got {text!r}."
        raise InputError(msg)
    path = Path(text)
    if ".." in path.parts:
        raise fault(path, "contains '..'", "Give the resolved path, for example an absolute one.")
    with system_faults(path):
        return path.absolute()


def kind_of(path: Path) -> Kind:
    """Say what a path is, without following a link."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "directory"
    return "file" if stat.S_ISREG(mode) else "special"


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; links, pipes and devices are refused.

    Raises ``FileNotFoundError`` for a missing file, which the caller may want to handle.
    """
    if kind_of(path) not in ("file", "missing"):
        raise fault(path, "is not a regular file", "Replace links and devices by plain copies.")
    # The kind is tested again on the open file: the name may have changed hands in between.
    with os.fdopen(os.open(path, _READ_FLAGS), "rb") as handle:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise fault(path, "is not a regular file", "Replace links and devices by plain copies.")
        yield handle


def _is_pickle(path: Path) -> bool:
    head = b""
    with suppress(PermissionError, FileNotFoundError), open_regular(path) as handle:
        head = handle.read(8)
    return path.suffix.lower() in _PICKLE_SUFFIXES or looks_like_pickle(head)


def looks_like_pickle(head: bytes) -> bool:
    """Recognise a pickle or the zip archive in which PyTorch wraps one.

    A safetensors file may start with the same two bytes (a header of 640 bytes), but six zeros
    follow there, and no pickle has those.
    """
    if head.startswith(b"PK\x03\x04"):
        return True
    return head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and head[2:8] != bytes(6)


def check_directory(path: Path) -> None:
    """Refuse what is not a plain directory, and one that holds links, devices or pickles."""
    kind = kind_of(path)
    if kind == "missing":
        raise fault(path, "does not exist", "Check the path of the model directory.")
    if kind == "link":
        raise fault(path, "is a symbolic link", "Give the path of the directory that it points to.")
    if kind == "file" and _is_pickle(path):
        raise fault(path, "is a pickle, not a model directory", NO_PICKLE)
    if kind != "directory":
        problem = "is a file" if kind == "file" else "is not a directory"
        raise fault(path, problem, "Give the directory written by model.save().")
    for entry in sorted(path.iterdir()):
        _check_entry(entry)


def _check_entry(path: Path) -> None:
    """Refuse one dangerous entry; other files that people keep beside a model are left alone."""
    kind = kind_of(path)
    if kind == "link":
        remedy = "Copy the directory with its links resolved (cp -rL)."
        raise fault(path, "is a symbolic link inside a model directory", remedy)
    if kind == "special":
        raise fault(path, "is neither a file nor a directory", "Remove it and load again.")
    if kind == "file" and not WEIGHTS_PATTERN.fullmatch(path.name) and _is_pickle(path):
        raise fault(path, "is a pickle inside a model directory", NO_PICKLE)


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a small file whole, or refuse it before allocation when it exceeds ``limit`` bytes."""
    with open_regular(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size > limit:
            raise fault(path, f"has {size} bytes, more than the limit of {limit}", "Do not use it.")
        return handle.read(size)
