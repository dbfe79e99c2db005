"""Make the small files of ``tests/files/old`` with the oldest writers that pip installs on 3.11.

Run by hand, in an environment of its own: ``pip install "setuptools<70" anndata==0.7.8
numpy==1.23.5 pandas==1.5.3 scipy==1.10.1 h5py==3.8.0 loompy==3.0.7 "numba<0.58" mudata==0.1.2``,
then ``python tests/files/make_old.py tests/files/old``. Nothing here is of DomainVI.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

GENES = ["TP53", "MYC", "EGFR", "KRAS", "CD3E"]
CELLS = ["c1", "c2", "c3", "c4"]
COUNTS = np.arange(20, dtype=np.float32).reshape(4, 5) % 7


def small(x: object = None) -> ad.AnnData:
    obs = pd.DataFrame(
        {
            "label": pd.Categorical(["a", "b", "a", None]),
            "cohort": ["x", "x", "y", "y"],
            "age": [50.0, np.nan, 61.0, 70.0],
        },
        index=CELLS,
    )
    return ad.AnnData(COUNTS.copy() if x is None else x, obs=obs, var=pd.DataFrame(index=GENES))


def compound(path: Path) -> None:
    """anndata 0.6: obs and var are datasets of compound type, categories stand in uns."""
    with h5py.File(path, "w") as file:
        file["X"] = COUNTS
        types = [("index", "S8"), ("label", "i1"), ("cohort", "i1"), ("age", "f8")]
        codes = zip(CELLS, [0, 1, 0, -1], [0, 0, 1, 1], [50.0, np.nan, 61.0, 70.0], strict=True)
        file["obs"] = np.array(list(codes), dtype=types)
        file["var"] = np.array([(name,) for name in GENES], dtype=[("index", "S8")])
        file["uns/label_categories"] = np.array(["a", "b"], dtype="S1")
        file["uns/cohort_categories"] = np.array(["x", "y"], dtype="S1")


def zellkonverter(path: Path) -> None:
    """As R writes it: factors, counts as a layer, sparse by column, X of the same, empty slots."""
    adata = small(sparse.csc_matrix(COUNTS))
    adata.layers["counts"] = sparse.csc_matrix(COUNTS)
    adata.uns["X_name"] = "counts"
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for name in ("obsp", "varp", "varm"):
            if name not in file:
                file.create_group(name)


def main(folder: Path) -> None:
    import loompy
    import mudata

    folder.mkdir(exist_ok=True)
    small().write_h5ad(folder / "anndata_0.7.h5ad")
    small(sparse.csr_matrix(COUNTS)).write_h5ad(folder / "anndata_0.7_sparse.h5ad")
    compound(folder / "anndata_0.6_layout.h5ad")
    zellkonverter(folder / "zellkonverter_layout.h5ad")
    mudata.MuData({"rna": small()}).write(folder / "mudata_0.1.h5mu")
    obs = small().obs.astype(str)
    loompy.create(
        str(folder / "loompy_3.0.loom"),
        COUNTS.T,
        {"Gene": np.array(GENES)},
        {"CellID": np.array(CELLS), **{key: obs[key].to_numpy(str) for key in obs}},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
