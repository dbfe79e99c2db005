"""One door for reading: the format is told by the content, not by the name."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domainvi._checks import READABLE
from domainvi.errors import InputError

from ._tables import table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData

# What to do about a file that its reader cannot read.
_REMEDY = {
    "h5ad": "It may come from a newer anndata (pip install -U anndata) or be damaged: read it "
    "where it was made, drop what is named here, and write it with adata.write_h5ad('new.h5ad').",
    "h5mu": "Write one modality where it was made: mdata['rna'].write_h5ad('new.h5ad').",
    "zarr": "Write it where it was made as h5ad: adata.write_h5ad('new.h5ad').",
    "loom": "Convert it: scanpy.read_loom('it.loom').write_h5ad('new.h5ad').",
    "10x h5": "Convert it: scanpy.read_10x_h5('it.h5').write_h5ad('new.h5ad').",
    "10x mtx": "Convert it: scanpy.read_10x_mtx('folder').write_h5ad('new.h5ad').",
    "csv": "Expected names in the first row and column and numbers elsewhere, separated by commas, "
    "semicolons or tabs; convert it: anndata.AnnData(frame).write_h5ad('new.h5ad').",
}


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
    found = _folder_format(path) if path.is_dir() else _file_format(path)
    if not found:
        fault = "is a folder" if path.is_dir() else "is of no format that is known here"
        msg = f"{path} {fault}; expected h5ad or another of {READABLE}. Convert it to h5ad first."
        raise InputError(msg)
    return found


def read(path: Path, modality: str | None = None) -> AnnData:
    """Read a file of any format that is known into memory.

    Parameters
    ----------
    path
        File or folder.
    modality
        Which modality of an h5mu file; its only one if not given.

    Raises
    ------
    InputError
        If it cannot be read, with the format that was seen and what to do.
    """
    seen = format_of(path)
    if modality is not None and seen != "h5mu":
        msg = f"{path} is {seen}, which has no modalities. Leave --modality out."
        raise InputError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adata = _multimodal(path, modality) if seen == "h5mu" else _READERS[seen](path)
    except (InputError, PermissionError, MemoryError):
        raise
    except Exception as error:  # readers of other libraries raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        msg = f"{path} cannot be read as {seen}: {reason}. {_REMEDY[seen]}"
        raise InputError(msg) from error
    return adata


def _folder_format(path: Path) -> str:
    if any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json", ".zmetadata")):
        return "zarr"
    return "10x mtx" if any(path.glob("*matrix.mtx*")) else ""


def _file_format(path: Path) -> str:
    import h5py

    if h5py.is_hdf5(path):  # also behind a block of the user's, as in h5mu
        return _hdf5_format(path)
    suffixes = {suffix.lower() for suffix in path.suffixes}
    if suffixes & {".csv", ".tsv", ".txt", ".tab"}:
        return "csv"
    return "h5ad" if ".h5ad" in suffixes else ""


def _hdf5_format(path: Path) -> str:
    import h5py

    with h5py.File(path, "r") as file:
        names = set(file)
        if "mod" in names:
            return "h5mu"
        if "matrix" in names:
            return "loom" if names & {"row_attrs", "col_attrs"} else "10x h5"
        genomes = [n for n in names if isinstance(file[n], h5py.Group) and "barcodes" in file[n]]
    return "10x h5" if genomes else "h5ad"


def _multimodal(path: Path, modality: str | None) -> AnnData:
    import mudata

    mdata = mudata.read_h5mu(path)
    names = list(mdata.mod)
    if modality is None and len(names) == 1:
        modality = names[0]
    if modality not in names:
        what = "holds" if modality is None else f"has no modality {modality!r}, but"
        msg = f"{path} is h5mu and {what} {', '.join(names)}. Choose one with --modality."
        raise InputError(msg)
    adata = mdata.mod[modality].copy()
    common = mdata.obs.reindex(adata.obs_names)
    for key in common.columns.difference(adata.obs.columns, sort=False):
        adata.obs[key] = common[key]
    return adata


def _h5ad(path: Path) -> AnnData:
    import anndata as ad

    return ad.read_h5ad(path)


def _zarr(path: Path) -> AnnData:
    import anndata as ad

    return ad.read_zarr(path)


def _tenx(path: Path) -> AnnData:
    import scanpy as sc

    return _by_identifier(sc.read_10x_h5(path))


def _tenx_folder(path: Path) -> AnnData:
    import scanpy as sc

    name = next(path.glob("*matrix.mtx*")).name
    prefix = name.split("matrix.mtx")[0] or None
    return sc.read_10x_mtx(path, var_names="gene_ids", prefix=prefix)


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
        var, obs = _attributes(file["row_attrs"]), _attributes(file["col_attrs"])
        x = sparse.csr_matrix(file["matrix"][:].T)
        layers = {
            name: sparse.csr_matrix(values[:].T) for name, values in file.get("layers", {}).items()
        }
    if len(obs.columns) == 0 or len(var.columns) == 0:
        msg = "it has no names of genes or cells"
        raise ValueError(msg)
    obs = _indexed(obs, ("CellID", "obs_names", "cell_names"))
    var = _indexed(var, ("Gene", "var_names", "Accession", "gene_names"))
    return ad.AnnData(x, obs=obs, var=var, layers=layers)


def _attributes(group: Any) -> pd.DataFrame:
    values = {name: group[name][:] for name in group}
    return pd.DataFrame(
        {
            name: np.char.decode(array.astype("S"), "utf-8") if array.dtype.kind in "SO" else array
            for name, array in values.items()
            if array.ndim == 1
        }
    )


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
    "10x mtx": _tenx_folder,
    "csv": table,
}
