"""Files of old writers give what was put into them; damaged ones are refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import domainvi as dv
from domainvi.cli import main
from domainvi.data import check_setup
from domainvi.errors import GeneMatchError, InputError
from domainvi.files import format_of, read

from .make_old import CELLS, COUNTS, GENES

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[h5py.File], object]

# Made by make_old.py with the versions that their names tell.
OLD = sorted((Path(__file__).parent / "old").glob("*"))


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.name)
def test_old_files_give_what_was_put_into_them(path: Path) -> None:
    found = read(path)
    values = found.X.toarray() if sparse.issparse(found.X) else found.X
    np.testing.assert_array_equal(values, COUNTS)
    assert (found.obs_names.tolist(), found.var_names.tolist()) == (CELLS, GENES)
    assert found.obs["cohort"].astype(str).tolist() == ["x", "x", "y", "y"]
    check_setup(found, batch_keys=["cohort"], labels_key=None)
    labels = found.obs["label"].astype(object)
    assert labels.where(labels.notna(), "nan").tolist() == ["a", "b", "a", "nan"]


def test_there_are_old_files_of_each_kind() -> None:
    assert {format_of(path) for path in OLD} == {"h5ad", "h5mu", "loom"}
    assert len(OLD) == 6


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [2, 3])
def test_zarr_stores_of_both_versions_are_read(version: int, tmp_path: Path, make_adata) -> None:
    adata = make_adata(12)
    with ad.settings.override(zarr_write_format=version):
        adata.write_zarr(tmp_path / "a")
    assert format_of(tmp_path / "a") == "zarr"
    np.testing.assert_array_equal(read(tmp_path / "a").X, adata.X)


@pytest.mark.filterwarnings("ignore")
def test_a_zarr_store_of_several_modalities_is_read(tmp_path: Path, make_adata) -> None:
    adata = make_adata(12)
    mudata.MuData({"rna": adata}).write_zarr(tmp_path / "a.zarr")
    assert format_of(tmp_path / "a.zarr") == "zarr of a MuData"
    found = read(tmp_path / "a.zarr")
    assert [*found.obs] == [*adata.obs]  # and not again as "rna:cohort"
    mudata.MuData({}).write(tmp_path / "a.h5mu")
    with pytest.raises(InputError, match=r"no modality. .*mudata.MuData\({'rna': adata}\)"):
        read(tmp_path / "a.h5mu")


# --- damaged --------------------------------------------------------------------------------------


def change(path: Path, how: Change) -> None:
    with h5py.File(path, "r+") as file:
        how(file)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def without_marks(file: h5py.File) -> None:
    for name in ("obs", "var"):
        for key in [k for k in file[name].attrs if k.startswith("encoding")]:
            del file[name].attrs[key]


def of_something_else(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (cut, "damaged or was not copied whole: copy it again"),
    "empty": (lambda path: path.write_bytes(b""), "is empty (0 bytes): copy it again"),
    "no HDF5": (lambda path: path.write_bytes(bytes(500)), "is not HDF5, whatever its name says"),
    "something else": (of_something_else, "is HDF5 with model_weights in it"),
    "no rows": (lambda p: change(p, lambda file: file.pop("obs")), "cannot be read as h5ad"),
    "another shape": (
        lambda p: change(p, lambda f: f.pop("X") and f.create_dataset("X", data=np.ones((3, 3)))),
        "cannot be read as h5ad: Observations",
    ),
    "a device": (lambda p: p.unlink() or p.symlink_to("/dev/null"), "is no ordinary file"),
    "a link to itself": (lambda p: p.unlink() or p.symlink_to(p), "does not exist"),
    "a folder": (lambda p: p.unlink() or p.mkdir(), "is a folder without matrix.mtx"),
    "another process": (
        lambda p: None,
        "Another program has it open: close that, or allow both with the environment variable",
    ),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_damaged_files_are_refused_by_every_command(
    how: str, tmp_path: Path, make_adata, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage, said = DAMAGED[how]
    path = tmp_path / "a.h5ad"
    make_adata(30).write_h5ad(path)
    damage(path)
    if how == "another process":

        def locked(*_args: object, **_kwargs: object) -> None:
            raise BlockingIOError(11, "Unable to synchronously open file (unable to lock file)")

        monkeypatch.setattr(h5py, "File", locked)
    columns = ["--labels", "label", "--batch", "cohort"]
    for line in (["check"], ["audit", *columns], ["train", *columns, "-o", str(tmp_path / "m")]):
        assert main([line[0], str(path), *line[1:]]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_a_file_without_marks_is_read(tmp_path: Path, make_adata) -> None:
    adata = make_adata(30)
    adata.write_h5ad(tmp_path / "a.h5ad")
    change(tmp_path / "a.h5ad", without_marks)
    found = read(tmp_path / "a.h5ad")
    assert found.obs_names.tolist() == adata.obs_names.tolist()
    assert found.var_names.tolist() == adata.var_names.tolist()


def test_loom_files_with_attributes_of_other_shapes_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.loom", "w") as file:
        file["matrix"] = COUNTS.T
        file["row_attrs/gene_name"] = np.array(GENES, dtype=h5py.string_dtype())
        file["col_attrs/barcode"] = np.array(CELLS, dtype="S")
        file["col_attrs/kind"] = np.array(["é", "b", "c", "d"], dtype=h5py.string_dtype())
        file["col_attrs/embedding"] = np.ones((4, 2))
        file["col_attrs/one"] = 3
        file.create_group("col_attrs/nested")
    found = read(tmp_path / "a.loom")
    assert (found.obs_names.tolist(), found.var_names.tolist()) == (CELLS, GENES)
    assert found.obs["kind"].tolist() == ["é", "b", "c", "d"]


# --- values that newer libraries hold -------------------------------------------------------------


def test_strings_of_pandas_3_are_labels(make_adata) -> None:
    pytest.importorskip("pyarrow")
    adata = make_adata(40)
    expected = make_adata(40)
    adata.obs = adata.obs.astype(pd.StringDtype("pyarrow", na_value=np.nan))
    adata.obs.loc[adata.obs["label"] == "Unknown", "label"] = np.nan
    for data in (adata, expected):
        dv.DomainVI.setup_anndata(data, batch_key="cohort", labels_key="label")
    models = [dv.DomainVI(data) for data in (adata, expected)]
    assert models[0].classes == models[1].classes == ["a", "b"]
    assert models[0].domains == models[1].domains == ["x", "y"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_dask_arrays_give_the_same_labels(kind: Callable, make_adata) -> None:
    da = pytest.importorskip("dask.array")
    adata = make_adata(40)
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    lazy = adata.copy()
    lazy.X = da.from_array(adata.X, chunks=(10, -1)).map_blocks(kind)
    assert (model.predict(lazy) == model.predict(adata.copy())).all()


def test_two_species_are_named_and_not_matched() -> None:
    genes = dv.data.cohorts().var_names[:200]
    mouse = [name.capitalize() for name in genes]
    with pytest.raises(GeneMatchError, match="is it another species. Then translate"):
        dv.data.align_genes(mouse, genes)
    both = [f"GRCh38_{name}" for name in genes] + [f"mm10___{name}" for name in mouse]
    with pytest.raises(GeneMatchError, match="Without the name of the genome in front, 200"):
        dv.data.align_genes(both, genes)
