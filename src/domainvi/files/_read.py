"""One door for reading: the format is told by the content, not by the name."""

from __future__ import annotations

import lzma
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import pandas as pd

from domainvi._checks import EMPTY_FILE, NO_HDF5, READABLE
from domainvi.errors import InputError

from ._folders import matrix_folder
from ._tables import is_text, packer, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np
    from anndata import AnnData

_DAMAGED = "It is damaged or was not copied whole: copy it again, or write it again as h5ad."
# What to do about a file that its reader cannot read.
_REMEDY = {
    "h5ad": "It may come from a newer anndata (pip install -U anndata) or be damaged: read it "
    "where it was made, drop what is named here, and write it with adata.write_h5ad('new.h5ad').",
    "h5mu": "Write one modality where it was made: mdata['rna'].write_h5ad('new.h5ad').",
    "zarr of a MuData": "Write one modality: mdata['rna'].write_h5ad('new.h5ad').",
    "zarr": "Write it where it was made as h5ad: adata.write_h5ad('new.h5ad').",
    "loom": "It needs names in row_attrs/Gene and col_attrs/CellID, and a matrix of genes by "
    "cells: write it again with loompy, or as h5ad.",
    "10x h5": "Convert it: scanpy.read_10x_h5('it.h5').write_h5ad('new.h5ad').",
    "10x mtx": "Put matrix.mtx, features.tsv (id, name) and barcodes.tsv of one sample into it, "
    "gzipped or not, or write an h5ad.",
    "HDF5": _DAMAGED,
    "csv": "Expected names in the first row and column and numbers elsewhere, separated by commas, "
    "semicolons or tabs; convert it: anndata.AnnData(frame).write_h5ad('new.h5ad').",
}


_LOCKED = (
    "Another program has it open: close that, or allow both with the environment variable "
    "HDF5_USE_FILE_LOCKING=FALSE."
)
# Of what h5py says when it is not the content that is at fault.
_FAULTS = {
    "lock file": _LOCKED,
    "truncated": _DAMAGED,
    "filter returned failure": _DAMAGED,
    "bad object header": _DAMAGED,
    "Permission denied": "Allow it to be read (chmod u+r), or copy it.",
}
_HEAD = 2**16
_MULTIMODAL = ("h5mu", "zarr of a MuData")
_NO_MODALITY = " Write it again, with a modality: mudata.MuData({'rna': adata})."


def format_of(path: Path) -> str:
    """Tell the format of a file or folder by what is in it.

    Raises
    ------
    InputError
        If there is nothing there, or it is of no format that can be read.
    """
    if not path.exists():
        msg = f"{path} does not exist; expected {READABLE}."
        raise InputError(msg)
    if path.is_dir():
        found, fault = _folder_format(path), "is a folder without matrix.mtx or a zarr store"
    elif path.is_file():
        found, fault = _file_format(path)
    else:
        found, fault = "", "is no ordinary file"
    if not found:
        msg = f"{path} {fault}; expected h5ad or another of {READABLE}."
        raise InputError(msg)
    return found


def read(path: Path, modality: str | None = None, columns: Iterable[str] = ()) -> AnnData:
    """Read a file of any format that is known into memory.

    Parameters
    ----------
    path
        File or folder.
    modality
        Which modality of an h5mu file; its only one if not given.
    columns
        Columns of a csv table that are none of its values, also if they hold numbers.

    Raises
    ------
    InputError
        If it cannot be read, with the format that was seen and what to do.
    """
    seen = format_of(path)
    if modality is not None and seen not in _MULTIMODAL:
        msg = f"{path} is {seen}, which has no modalities. Leave --modality out."
        raise InputError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if seen in _MULTIMODAL:
                return _multimodal(path, seen, modality)
            return table(path, columns) if seen == "csv" else _READERS[seen](path)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # readers of other libraries raise anything
        raise _unreadable(path, seen, error) from error


def _unreadable(path: Path, seen: str, error: Exception) -> InputError:
    """Say why a file cannot be read, and what to do."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = lines[0][:200].strip(" .'\"")
    remedy = next((text for word, text in _FAULTS.items() if word in str(error)), _REMEDY[seen])
    return InputError(f"{path} cannot be read as {seen}: {reason}. {remedy}")


def _folder_format(path: Path) -> str:
    if any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json", ".zmetadata")):
        return "zarr of a MuData" if (path / "mod").is_dir() else "zarr"
    return "10x mtx" if any(path.glob("*matrix.mtx*")) else ""


def _file_format(path: Path) -> tuple[str, str]:
    """Format of a file, or what it is instead."""
    import h5py

    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "", EMPTY_FILE
    if h5py.is_hdf5(path):  # also behind a block of the user's, as in h5mu
        return _hdf5_format(path)
    if pack := packer(head):
        return _packed_format(path, pack)
    if head.startswith(b"PK"):
        return "", "is a zip archive or a workbook: unpack it, or save it as csv"
    if is_text(head):
        return "csv", ""
    suffixes = {suffix.lower() for suffix in path.suffixes}
    if suffixes & {".h5ad", ".h5mu", ".h5", ".hdf5", ".loom"}:
        return "", NO_HDF5
    return "", "is of no format that is known here: convert it to h5ad first"


def _packed_format(path: Path, pack: Any) -> tuple[str, str]:
    try:
        with pack.open(path, "rb") as file:
            head = file.read(_HEAD)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        return "", f"is packed and damaged ({error}): copy it again"
    if head.startswith((b"X\n", b"RDX", b"RDA")):
        return "", "is a file of R: write it there as h5ad, such as with zellkonverter::writeH5AD"
    if is_text(head) and not path.name.endswith((".tar.gz", ".tgz")):
        return "csv", ""
    return "", "is packed: unpack it first, as with gunzip, and pass what was in it"


def _hdf5_format(path: Path) -> tuple[str, str]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            names = set(file)
            groups = [file[name] for name in names if isinstance(file[name], h5py.Group)]
            has_cells = any("barcodes" in group for group in groups)
    except OSError as error:
        raise _unreadable(path, "HDF5", error) from error
    if "mod" in names:
        return "h5mu", ""
    if "matrix" in names:
        return ("loom" if names & {"row_attrs", "col_attrs"} else "10x h5"), ""
    if has_cells:
        return "10x h5", ""
    if names & {"obs", "var", "X"}:
        return "h5ad", ""
    return "", f"is HDF5 with {', '.join(sorted(names)[:5]) or 'nothing'} in it, which is none"


def _multimodal(path: Path, seen: str, modality: str | None) -> AnnData:
    import mudata

    mdata = mudata.read_h5mu(path) if seen == "h5mu" else mudata.read_zarr(path)
    names = list(mdata.mod)
    if modality is None and len(names) == 1:
        modality = names[0]
    if modality not in names:
        what = "holds" if modality is None else f"has no modality {modality!r}, but"
        msg = f"{path} is {seen} and {what} {', '.join(names) or 'no modality'}."
        raise InputError(f"{msg} Choose one with --modality." if names else msg + _NO_MODALITY)
    adata = mdata.mod[modality].copy()
    common = mdata.obs.reindex(adata.obs_names)
    for key in common.columns.difference(adata.obs.columns, sort=False):
        if key.partition(":")[0] not in names:  # what mudata repeats of a modality
            adata.obs[key] = common[key]
    return adata


def _h5ad(path: Path) -> AnnData:
    import anndata as ad

    adata = ad.read_h5ad(path)
    for axis in ("obs", "var"):  # of files that lack the marks of newer ones
        frame = getattr(adata, axis)
        if "_index" in frame:
            setattr(
                adata, axis, frame.set_index(frame["_index"].astype(str)).drop(columns="_index")
            )
    return adata


def _zarr(path: Path) -> AnnData:
    import anndata as ad

    return ad.read_zarr(path)


def _tenx(path: Path) -> AnnData:
    import scanpy as sc

    return _by_identifier(sc.read_10x_h5(path))


def _by_identifier(adata: AnnData) -> AnnData:
    """Name genes by their identifiers where symbols stand twice."""
    if not adata.var_names.is_unique and "gene_ids" in adata.var:
        adata.var["gene_symbols"] = adata.var_names.to_numpy()
        adata.var_names = adata.var["gene_ids"].astype(str).to_numpy()
    return adata


def _loom(path: Path) -> AnnData:
    """Read a loom file: genes in rows, names in one of the attributes that are in use."""
    import anndata as ad
    import h5py
    from scipy import sparse

    with h5py.File(path, "r") as file:
        n_genes, n_cells = file["matrix"].shape
        var = _attributes(file["row_attrs"], n_genes)
        obs = _attributes(file["col_attrs"], n_cells)
        x = sparse.csr_matrix(file["matrix"][:].T)
        layers = {
            name: sparse.csr_matrix(values[:].T) for name, values in file.get("layers", {}).items()
        }
    if len(obs.columns) == 0 or len(var.columns) == 0:
        msg = "it has no names of genes or cells"
        raise ValueError(msg)
    obs = _indexed(obs, ("CellID", "obs_names", "cell_names", "barcode", "Barcode"))
    var = _indexed(var, ("Gene", "var_names", "gene_names", "gene_name", "Accession"))
    return ad.AnnData(x, obs=obs, var=var, layers=layers)


def _attributes(group: Any, n: int) -> pd.DataFrame:
    """Read the attributes with one value for each row or column; others are left out."""
    values = {name: group[name][()] for name in group if hasattr(group[name], "dtype")}
    return pd.DataFrame(
        {
            name: _decoded(array) if array.dtype.kind in "SO" else array
            for name, array in values.items()
            if array.shape == (n,)
        }
    )


def _decoded(array: np.ndarray) -> list[str]:
    return [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in array]


def _indexed(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    found = next((name for name in names if name in frame and frame[name].is_unique), None)
    if found is None:
        frame.index = frame.index.astype(str)
        return frame
    return frame.set_index(frame[found].astype(str).rename(None)).drop(columns=found)


_READERS: dict[str, Callable[[Path], AnnData]] = {
    "h5ad": _h5ad,
    "zarr": _zarr,
    "loom": _loom,
    "10x h5": _tenx,
    "10x mtx": matrix_folder,
}
