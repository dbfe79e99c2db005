"""One wording for everything that can be wrong with a model directory."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from domainvi.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESTORE = "Copy the model again from its source, or save it again with model.save()."

_WRITE_REMEDIES = {
    errno.ENOSPC: "Free some space or choose another disk.",
    errno.EDQUOT: "Your quota is used up: free some space or choose another disk.",
    errno.EACCES: "Choose a directory in which you may write.",
    errno.EPERM: "Choose a directory in which you may write.",
    errno.EROFS: "This file system is read-only: choose another directory.",
}


def fault(path: Path, problem: str, remedy: str) -> ModelFileError:
    """Build the error for one model path: one line, what is wrong and what to do."""
    line = f"{str(path)!r} {problem}. {remedy}"
    return ModelFileError(" ".join(line.split()))


def reason(error: BaseException) -> str:
    """Say why an operation failed, without the path that the message already holds."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a fault of the operating system during reading into the documented error."""
    try:
        yield
    except ModelFileError:
        raise
    except OSError as error:
        raise fault(
            path,
            f"cannot be read: {reason(error)}",
            "Check that the path is right and that you may read it.",
        ) from error


@contextmanager
def writing(path: Path, n_bytes: int) -> Iterator[None]:
    """Turn a fault of the operating system during writing into the documented error."""
    try:
        yield
    except ModelFileError:
        raise
    except OSError as error:
        remedy = _WRITE_REMEDIES.get(error.errno or 0, "Choose another directory and save again.")
        raise fault(
            path,
            f"cannot be written ({n_bytes} bytes): {reason(error)}",
            f"{remedy} The model in memory is intact and no half-written file is left.",
        ) from error
