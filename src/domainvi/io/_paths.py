"""Paths that may be opened: regular files in a plain directory, never links or devices."""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from domainvi.errors import InputError

from ._faults import fault, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST_NAME = "model.json"
WEIGHTS_PATTERN = re.compile(r"weights-([0-9a-f]{16})\.safetensors")
TEMPORARY_PATTERN = re.compile(r"\.domainvi-[0-9a-f]{16}(\.\w+)?")

NO_PICKLE = (
    "DomainVI never opens pickles, because they can run code: ask for a model that was saved with "
    "model.save() of DomainVI, or move this file away."
)
_PICKLE_SUFFIXES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill"}
# Non-blocking, so that a named pipe cannot hold us; links are refused by the kernel where it can.
_READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)

Kind = Literal["missing", "file", "directory", "link", "special"]


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
    with reading(path):
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
    if kind == "file":
        _refuse_file(path)
    if kind != "directory":
        raise fault(path, "is not a directory", "Give the directory written by model.save().")
    for entry in sorted(path.iterdir()):
        _check_entry(entry)


def _refuse_file(path: Path) -> None:
    head = b""
    with suppress(OSError), open_regular(path) as handle:
        head = handle.read(8)
    if path.suffix.lower() in _PICKLE_SUFFIXES or looks_like_pickle(head):
        raise fault(path, "is a pickle, not a model directory", NO_PICKLE)
    raise fault(path, "is a file", "Give the directory written by model.save().")


def _check_entry(path: Path) -> None:
    """Refuse one dangerous entry; other files that people keep beside a model are left alone."""
    kind = kind_of(path)
    if kind == "link":
        remedy = "Copy the directory with its links resolved (cp -rL)."
        raise fault(path, "is a symbolic link inside a model directory", remedy)
    if kind == "special":
        raise fault(path, "is neither a file nor a directory", "Remove it and load again.")
    if kind != "file" or WEIGHTS_PATTERN.fullmatch(path.name):
        return
    head = b""
    with suppress(PermissionError, FileNotFoundError), open_regular(path) as handle:
        head = handle.read(8)
    if path.suffix.lower() in _PICKLE_SUFFIXES or looks_like_pickle(head):
        raise fault(path, "is a pickle inside a model directory", NO_PICKLE)


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a small file whole, or refuse it before allocation when it exceeds ``limit`` bytes."""
    with open_regular(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size > limit:
            raise fault(path, f"has {size} bytes, more than the limit of {limit}", "Do not use it.")
        return handle.read(size)
