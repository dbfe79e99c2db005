"""What a killed writer may leave behind, and how it is recognised and removed."""

from __future__ import annotations

import hashlib
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from domainvi.io._atomic import token
from domainvi.io._lock import directory_lock
from domainvi.io._paths import TEMPORARY_PATTERN, WEIGHTS_PATTERN, kind_of

if TYPE_CHECKING:
    from pathlib import Path

# Only where the file system cannot lock: no save takes that long, so its writer is gone.
_STALE_SECONDS = 24 * 3600


def temporary_sibling(target: Path) -> Path:
    """Name a directory beside `target`, of fixed length and bound to its name."""
    return target.with_name(f"{_prefix(target)}{token()}.tmp")


def remove_stale_siblings(target: Path) -> None:
    """Remove temporary directories of dead writers of `target`; living ones hold a lock."""
    with suppress(OSError):
        for path in target.parent.iterdir():
            if path.name.startswith(_prefix(target)) and path.name.endswith(".tmp"):
                _remove_if_stale(path)


def remove_leftovers(directory: Path, keep: str) -> None:
    """Remove temporary files, and weights other than `keep`, from a model directory.

    A file that cannot be removed is harmless and tried again at the next save.
    """
    with suppress(OSError):
        for path in directory.iterdir():
            old = WEIGHTS_PATTERN.fullmatch(path.name) and path.name != keep
            if old or TEMPORARY_PATTERN.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()


def _prefix(target: Path) -> str:
    digest = hashlib.sha256(target.name.encode(errors="surrogateescape")).hexdigest()
    return f".domainvi-{digest[:12]}-"


def _remove_if_stale(path: Path) -> None:
    with suppress(OSError):
        if kind_of(path) != "directory":
            return
        with directory_lock(path) as state:
            old = time.time() - path.stat().st_mtime > _STALE_SECONDS
            if state == "held" or (state == "unsupported" and old):
                shutil.rmtree(path, ignore_errors=True)
