"""Files of other people: read whatever their format, or refused in one sentence that helps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import mudata
import numpy as np
import pytest
from scipy import sparse

from domainvi.cli import main
from domainvi.errors import InputError
from domainvi.files import format_of, read

from .writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def adata(make_adata: Callable[..., ad.AnnData]) -> ad.AnnData:
    made = make_adata(24, 60, counts=True)
    made.var_names = [f"TP{i}" for i in range(60)]
    return made


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


def test_columns_that_h5ad_cannot_hold_are_renamed_and_said(
    adata: ad.AnnData, tmp_path: Path, capsys
) -> None:
    adata.obs["label"] = adata.obs["truth"]
    adata.write_h5ad(tmp_path / "ref.h5ad")
    text = adata.to_df().assign(**{"cell/type": adata.obs["truth"].astype(str), "cell|type": "x"})
    text.assign(**{"a/b": "y"}).to_csv(tmp_path / "query.csv")
    command = ["transfer", str(tmp_path / "ref.h5ad"), str(tmp_path / "query.csv")]
    command += ["--labels", "label", "--batch", "cohort", "--max-epochs", "1", "--device", "cpu"]
    assert main([*command, "-o", str(tmp_path / "out.h5ad")]) == 0
    said = capsys.readouterr().err
    assert "written: 'cell/type' as 'cell|type_', 'a/b' as 'a|b'" in said
    written = ad.read_h5ad(tmp_path / "out.h5ad").obs
    assert {"label_pred", "a|b", "cell|type", "cell|type_"} <= set(written)


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
    said = capsys.readouterr().out
    assert "remark: labels_key='nothing' is not a column" in said
    assert "Without labels, it can be a query.\n  refused: nothing" in said
    assert main(["check", str(path), "--labels", "label", "--batch", "chort"]) == 0
    said = capsys.readouterr().out
    assert "Did you mean 'cohort'?" in said
    assert "Beside files with it, this is one cohort, by its name." in said
    del adata.obs["cohort"]
    adata.obs["label"] = "Unknown"
    adata.write_h5ad(path)
    assert main(["check", str(path), "--labels", "label"]) == 0
    said = capsys.readouterr().out
    assert "obs['label'] labels none of the 24 rows. Without labels, it can be a query." in said
    assert main(["check", str(tmp_path / "none.h5ad")]) == 2
