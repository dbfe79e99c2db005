"""Read files and write h5ad, with errors that name the file."""

from __future__ import annotations

import os
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from domainvi.errors import InputError

from ._results import note

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData

# Endings that say what a file is.
OTHER_FORMATS = {
    ".h5ad", ".h5mu", ".h5", ".hdf5", ".zarr", ".loom", ".csv", ".tsv", ".txt", ".xlsx", ".html",
    ".json", ".parquet", ".rds", ".gz", ".pdf", ".png", ".svg", ".zip", ".pkl", ".pt", ".mtx",
}  # fmt: skip
# What gzip, zip, bz2 and xz files begin with.
PACKED = (b"\x1f\x8b", b"PK", b"BZh", b"\xfd7zXZ")


def read(path: Path, modality: str | None = None, columns: Sequence[str] = ()) -> AnnData:
    """Read a file of any known format into memory; ``columns`` of a table are no values of it."""
    from domainvi import files

    return files.read(path, modality, columns)


def check_inputs(*paths: Path, columns: Mapping[str, Sequence[str]] = MappingProxyType({})) -> None:
    """Refuse files that are not there, and columns that the first one lacks, in a moment.

    ``columns`` has names by argument. They are looked up where that needs no more than opening an
    HDF5 file; what a format of others lacks is found when it is read.
    """
    if missing := [path for path in paths if not path.exists()]:
        from domainvi._checks import READABLE

        msg = f"{missing[0]} does not exist; expected {READABLE}."
        raise InputError(msg)
    for path in paths:
        _check_signature(path)
    there = _columns_of(paths[0]) if columns else []
    for argument, keys in columns.items():
        for key in keys:
            if there and key not in there:
                from domainvi._checks import unknown_column

                msg = f"{paths[0]}: {unknown_column(argument, key, there)}"
                raise InputError(msg)


def check_model(path: Path) -> Path:
    """Refuse a folder of a model that is not there; return where it is."""
    if not path.exists():
        msg = f"{path} does not exist; expected a folder that `domainvi train` wrote."
        raise InputError(msg)
    return located(path)


def located(path: Path) -> Path:
    """Resolve the way to a folder of ours, with its ``..``; a link at the end stays what it is."""
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name


def _check_signature(path: Path) -> None:
    """Refuse a file that is called h5ad and is damaged, before what reads it is imported."""
    import h5py

    if path.suffix != ".h5ad" or not path.is_file() or h5py.is_hdf5(path):
        return
    from domainvi._checks import EMPTY_FILE, NO_HDF5

    with path.open("rb") as file:
        head = file.read(512)
    # Text and packed files are looked at when they are read.
    if not head or (b"\0" in head and not head.startswith(PACKED)):
        msg = f"{path} {NO_HDF5 if head else EMPTY_FILE}."
        raise InputError(msg)


def _columns_of(path: Path) -> list[str]:
    """Columns of obs of an h5ad file; none where they are not told by its attributes."""
    if path.suffix != ".h5ad" or not path.is_file():
        return []
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return [str(name) for name in file["obs"].attrs["column-order"]]
    except (OSError, KeyError, TypeError, AttributeError):
        return []


def check_output(
    path: Path, force: bool, *, kind: str = "", others: tuple[Path | None, ...] = ()
) -> None:
    """Refuse an output that cannot be written, before hours are spent on it.

    ``kind`` is the ending of what is written: names that end as another format does are refused.
    ``others`` is what the command reads, or writes besides: the output must be none of them and
    hold none of them. With ``force`` it may be there already.
    """
    if not path.absolute().parent.is_dir():
        msg = f"{path}: the folder {path.parent} does not exist. Create it first."
        raise InputError(msg)
    if any(_is_in(other, path) for other in others if other is not None):
        msg = f"{path} is also read by this command, or written twice. Write to another place."
        raise InputError(msg)
    if kind and (path.is_dir() or path.exists() > path.is_file()):
        what = "a folder" if path.is_dir() else "no ordinary file"
        msg = f"{path} is {what}; expected the name of a file to write, such as out{kind}."
        raise InputError(msg)
    if kind and path.suffix.lower() in OTHER_FORMATS - {kind}:
        msg = (
            f"{path} ends in {path.suffix}, and this command writes {kind[1:]}. Use "
            f"{path.with_suffix(kind).name}."
        )
        raise InputError(msg)
    if not os.access(path.absolute().parent, os.W_OK):
        msg = f"{path}: the folder {path.parent} cannot be written to. Write elsewhere."
        raise InputError(msg)
    if path.exists() and not force:
        msg = f"{path} exists already. Pass --force to replace it, or write elsewhere."
        raise InputError(msg)


def _is_in(other: Path, path: Path) -> bool:
    """Whether two names stand for one file, or one for something in the folder of the other."""
    try:
        if other.resolve().is_relative_to(path.resolve()):
            return True
    except (OSError, RuntimeError) as error:
        msg = f"{path} or {other} is a link that leads to itself. Write to another place."
        raise InputError(msg) from error
    return other.exists() and path.exists() and other.samefile(path)


def write(adata: AnnData, path: Path) -> None:
    """Write an h5ad file in one step; columns that it cannot hold are mended, and it is said."""
    from domainvi.io import whole_file

    _rename_columns(adata)
    _write_as_text(adata)
    try:
        with whole_file(path) as beside:
            adata.write_h5ad(beside, compression="gzip")
            _read_back(adata, beside)
    except OSError as error:
        reason = error.strerror or str(error)
        msg = f"{path} cannot be written: {reason}. Free some space or write elsewhere."
        raise InputError(msg) from error
    except (InputError, MemoryError):
        raise
    except Exception as error:  # anndata raises anything
        reason = " ".join([str(error), *getattr(error, "__notes__", ())])
        msg = (
            f"{path} cannot be written, since h5ad cannot hold a part of the query: {reason}. Drop "
            "that part, or turn it into text."
        )
        raise InputError(msg) from error


def _rename_columns(adata: AnnData) -> None:
    """Rename columns that h5ad cannot hold, such as those of a csv may be, and say so."""
    from domainvi._keys import storable

    for axis in ("obs", "var"):
        frame = getattr(adata, axis)
        renamed: dict[str, str] = {}
        for name in frame:
            if (new := storable(name)) != name:
                while new in frame or new in renamed.values():
                    new += "_"
                renamed[name] = new
        if renamed:
            setattr(adata, axis, frame.rename(columns=renamed))
            pairs = ", ".join(f"{old!r} as {new!r}" for old, new in renamed.items())
            note(f"columns of {axis} that h5ad cannot hold by their names are written: {pairs}")


def _write_as_text(adata: AnnData) -> None:
    """Turn columns of values that h5ad cannot hold, such as dates, into text, and say so."""
    from pandas.api.types import infer_dtype

    for axis in ("obs", "var"):
        frame = getattr(adata, axis).copy()
        kinds = {}
        for name, column in frame.items():
            values = column.cat.categories if column.dtype == "category" else column
            kind = infer_dtype(values, skipna=True)
            if values.size and values.dtype.kind in "OmM" and kind not in ("string", "bytes"):
                kinds[name] = kind
                text = column.astype(object).map(str, na_action="ignore")
                frame[name] = text.astype("category")
        if kinds:
            setattr(adata, axis, frame)
            told = ", ".join(f"{name!r} ({kind})" for name, kind in kinds.items())
            note(f"columns of {axis} whose values h5ad cannot hold are written as text: {told}")


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
def naming(*paths: Path) -> Iterator[None]:
    """Put the name of the file, or of all, before the message of what is wrong with it."""
    try:
        yield
    except InputError as error:
        from domainvi.files import format_of

        is_table = "csv" in map(format_of, paths)
        alone = " (a csv table: text columns are columns of obs)" if is_table else ""
        msg = f"{', '.join(map(str, paths))}{alone}: {error}"
        raise type(error)(msg) from error
