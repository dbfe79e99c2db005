"""One object in every format that is read, written without DomainVI's own writers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import mudata
import numpy as np
import pandas as pd
from scipy import io as scipy_io
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad


def write_loom(adata: ad.AnnData, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["matrix"] = (adata.X.toarray() if sparse.issparse(adata.X) else adata.X).T
        file["row_attrs/Gene"] = np.array(adata.var_names, dtype="S")
        file["col_attrs/CellID"] = np.array(adata.obs_names, dtype="S")
        file["col_attrs/cohort"] = np.array(adata.obs["cohort"], dtype="S")


def write_tenx(adata: ad.AnnData, path: Path) -> None:
    x = sparse.csr_matrix(adata.X.astype(np.int32))
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["shape"] = np.array(x.shape[::-1])
        group["barcodes"] = np.array(adata.obs_names, dtype="S")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(x, name)
        for name in ("id", "name"):
            group[f"features/{name}"] = np.array(adata.var_names, dtype="S")
        group["features/feature_type"] = np.array(["Gene Expression"] * adata.n_vars, dtype="S")
        group["features/genome"] = np.array(["GRCh38"] * adata.n_vars, dtype="S")


def write_folder(adata: ad.AnnData, path: Path) -> None:
    path.mkdir()
    scipy_io.mmwrite(path / "matrix.mtx", sparse.coo_matrix(adata.X.T.astype(int)))
    pd.DataFrame({"id": adata.var_names, "name": adata.var_names}).to_csv(
        path / "genes.tsv", sep="\t", header=False, index=False
    )
    pd.Series(adata.obs_names).to_csv(path / "barcodes.tsv", header=False, index=False)


def write_columns(adata: ad.AnnData, path: Path) -> None:
    adata.to_df().assign(cohort=adata.obs["cohort"].astype(str)).to_csv(path)


WRITERS: dict[str, tuple[str, Callable[[ad.AnnData, Path], object]]] = {
    "a.h5ad": ("h5ad", lambda a, p: a.write_h5ad(p)),
    "a.h5mu": ("h5mu", lambda a, p: mudata.MuData({"rna": a}).write(p)),
    "a.zarr": ("zarr", lambda a, p: a.write_zarr(p)),
    "a.loom": ("loom", write_loom),
    "a.h5": ("10x h5", write_tenx),
    "folder": ("10x mtx", write_folder),
    "rows.csv": ("csv", lambda a, p: a.to_df().T.to_csv(p)),
    "rows.tsv.gz": ("csv", lambda a, p: a.to_df().T.to_csv(p, sep="\t")),
    "columns.csv": ("csv", write_columns),
}
