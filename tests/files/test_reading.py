"""Files of other people: read whatever their format, or refused in one sentence that helps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import io as scipy_io
from scipy import sparse

from domainvi.cli import main
from domainvi.errors import InputError
from domainvi.files import format_of, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad


@pytest.fixture
def adata(make_adata: Callable[..., ad.AnnData]) -> ad.AnnData:
    made = make_adata(24, 60, counts=True)
    made.var_names = [f"TP{i}" for i in range(60)]
    return made


def write_loom(adata: ad.AnnData, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["matrix"] = adata.X.T
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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_values(name: str, adata: ad.AnnData, tmp_path: Path) -> None:
    seen, write = WRITERS[name]
    write(adata, tmp_path / name)
    assert format_of(tmp_path / name) == seen
    found = read(tmp_path / name)
    assert found.obs_names.tolist() == adata.obs_names.tolist()
    assert found.var_names.tolist() == adata.var_names.tolist()
    values = found.X.toarray() if sparse.issparse(found.X) else found.X
    np.testing.assert_allclose(values, adata.X)
    if name in {"a.loom", "columns.csv"}:
        assert found.obs["cohort"].tolist() == adata.obs["cohort"].tolist()


@pytest.mark.parametrize("name", ["a.loom", "a.h5", "a.csv", "a.xlsx"])
def test_what_cannot_be_read_says_what_to_do(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "a.csv":
        path.write_text("only,text\na,b\n")
    elif name == "a.xlsx":
        path.write_bytes(b"PK")
    else:
        with h5py.File(path, "w") as file:
            kind = {"a.loom": ["row_attrs", "matrix"], "a.h5": ["matrix"]}.get(name, ["obs"])
            for group in kind:
                file.create_group(group)
    with pytest.raises(InputError, match="h5ad"):
        read(path)


def test_an_odd_element_of_an_h5ad_is_refused(adata: ad.AnnData, tmp_path: Path) -> None:
    adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file["uns"].create_group("new").attrs.update(
            {"encoding-type": "of-the-future", "encoding-version": "1.0"}
        )
    with pytest.raises(InputError, match="cannot be read as h5ad.*newer anndata"):
        read(tmp_path / "a.h5ad")


@pytest.mark.filterwarnings("ignore")
def test_one_of_several_modalities_is_chosen(adata: ad.AnnData, tmp_path: Path) -> None:
    other = adata.copy()
    other.var_names = [f"P{i}" for i in range(60)]
    mudata.MuData({"rna": adata, "protein": other}).write(tmp_path / "a.h5mu")
    with pytest.raises(InputError, match="rna, protein. Choose one with --modality"):
        read(tmp_path / "a.h5mu")
    assert read(tmp_path / "a.h5mu", "protein").var_names[0] == "P0"


def test_check_says_what_is_there_and_what_is_refused(
    adata: ad.AnnData, tmp_path: Path, capsys
) -> None:
    adata.obs["label"] = adata.obs["truth"].astype(object)
    adata.obs.loc[adata.obs_names[:3], "label"] = "[Not Available]"
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    options = ["--labels", "label", "--batch", "cohort"]
    assert main(["check", str(path), *options, "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)["files"]
    assert (facts["format"], facts["rows"], facts["genes"]) == ("h5ad", 24, 60)
    assert facts["values"].startswith("counts")
    assert facts["columns"]["label"]["(missing)"] == 3
    assert facts["refused"] == ""
    assert "'[Not Available]' (3 rows)" in facts["remarks"][0]
    assert main(["check", str(path), "--labels", "nothing"]) == 0
    assert "refused: labels_key='nothing' is not a column" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "none.h5ad")]) == 2
