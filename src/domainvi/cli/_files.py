"""Read files and write h5ad, with errors that name the file."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anndata import AnnData


def read(path: Path, modality: str | None = None) -> AnnData:
    """Read a file of any known format into memory; refuse what is not there or is none of them."""
    from domainvi import files

    return files.read(path, modality)


def check_output(path: Path, force: bool, *, others: tuple[Path | None, ...] = ()) -> None:
    """Refuse an output that cannot be written, before hours are spent on it.

    ``others`` is what the command reads, or writes besides: the output must be none of them and
    hold none of them. With ``force`` it may be there already.
    """
    if not path.absolute().parent.is_dir():
        msg = f"{path}: the folder {path.parent} does not exist. Create it first."
        raise InputError(msg)
    if any(_is_in(other, path) for other in others if other is not None):
        msg = f"{path} is also read by this command, or written twice. Write to another place."
        raise InputError(msg)
    if not os.access(path.absolute().parent, os.W_OK):
        msg = f"{path}: the folder {path.parent} cannot be written to. Write elsewhere."
        raise InputError(msg)
    if path.exists() and not force:
        msg = f"{path} exists already. Pass --force to replace it, or write elsewhere."
        raise InputError(msg)


def _is_in(other: Path, path: Path) -> bool:
    """Whether two names stand for one file, or one for something in the folder of the other."""
    if other.resolve().is_relative_to(path.resolve()):
        return True
    return other.exists() and path.exists() and other.samefile(path)


def write(adata: AnnData, path: Path) -> None:
    """Write an h5ad file in one step."""
    from domainvi.io import whole_file

    if path.is_dir():
        msg = f"{path} is a folder; expected the name of a file to write."
        raise InputError(msg)
    try:
        with whole_file(path) as beside:
            adata.write_h5ad(beside, compression="gzip")
            _read_back(adata, beside)
    except OSError as error:
        reason = error.strerror or str(error)
        msg = f"{path} cannot be written: {reason}. Free some space or write elsewhere."
        raise InputError(msg) from error


def _read_back(adata: AnnData, path: Path) -> None:
    """Refuse to call a file written that does not give back what was put into it."""
    import anndata as ad

    try:
        found = ad.read_h5ad(path, backed="r")
        found.file.close()
    except Exception as error:  # noqa: BLE001  # readers of other libraries raise anything
        lost: object = error
    else:
        parts = ("obs", "var", "obsm", "layers")
        names = [(p, n) for p in parts for n in getattr(adata, p)]
        lost = [f"{p}[{n!r}]" for p, n in names if n not in getattr(found, p)]
    if lost:
        msg = (
            f"What was written to the output cannot be read back ({lost}); nothing was kept. "
            "Rename what has '/' in its name, or leave it out of the query."
        )
        raise InputError(msg)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the name of the file before the message of what is wrong with it."""
    try:
        yield
    except InputError as error:
        from domainvi.files import format_of

        seen = format_of(path)
        alone = "" if seen != "csv" else " (a csv table: text columns are columns of obs)"
        msg = f"{path}{alone}: {error}"
        raise type(error)(msg) from error
