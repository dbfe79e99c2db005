"""Rows that are annotated shard by shard get what `annotate` gives them in memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import sparse
from tests.processes import ONE_THREAD, environment, run_to_end

import domainvi as dv
from domainvi.errors import InputError
from domainvi.model._lazy import _annotate_lazy, _begin
from domainvi.model._lazy._shards import Key, place_at

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

SCRIPT = Path(__file__).with_name("cluster_process.py")


def query_of(n_obs=500):
    """Counts, CSR, of a known cohort and a new one, without three of the genes."""
    adata = dv.data.synthetic_cohorts(n_obs=n_obs, n_genes=60, n_domains=3, seed=1)
    adata.obs["domain"] = adata.obs["domain"].astype(str).replace({"domain_2": "new"})
    adata = adata[:, 3:].copy()
    adata.X = sparse.csr_matrix(adata.X)
    return adata


def model_of(adata, **setup):
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label", **setup)
    model = dv.DomainVI(adata, n_latent=6, n_hidden=16)
    model.train(max_epochs=2, enable_progress_bar=False)
    return model


@pytest.fixture(scope="module")
def model():
    adata = dv.data.synthetic_cohorts(n_obs=600, n_genes=60, seed=1)
    adata.obs["sex"] = ["f", "m"] * 300
    adata.obs["age"] = np.arange(600) / 7
    return model_of(adata, target_keys=["sex", "age"])


def with_dask(adata, chunks=(70, 30)):
    lazy = adata.copy()
    lazy.X = da.from_array(adata.X, chunks=chunks, asarray=False)
    return lazy


def assert_same(found, expected):
    """The results are equal, in types and categories as well; sums may be rounded otherwise."""
    assert found.obs_names.equals(expected.obs_names)
    for name in found.obs:
        pd.testing.assert_series_equal(
            found.obs[name], expected.obs[name], atol=1e-5, check_index_type=False
        )
    assert set(found.obsm) == {
        k for k in expected.obsm if k.startswith("X_domainvi") or "prob" in k
    }
    for name, values in found.obsm.items():
        np.testing.assert_allclose(values, expected.obsm[name], atol=1e-5)
    told, wanted = found.uns["domainvi"], expected.uns["domainvi"]
    assert set(told) == set(wanted)
    for key in ("cautions", "notes", "classes", "columns"):
        assert list(told[key]) == list(wanted[key])
    for key in ("unseen_cohorts", "unknown_rows", "rows_without_values", "genes_matched"):
        np.testing.assert_equal(told[key], wanted[key])


@pytest.mark.parametrize("options", [{"unknown_alpha": 0.3, "classes": ["class_0", "class_1"]}])
def test_shards_are_annotated_as_the_whole(model, tmp_path, options):
    query = query_of()
    model.annotate_lazy(with_dask(query), tmp_path / "found.zarr", n_rows=200, **options)
    model.annotate(query, **options)
    assert_same(ad.read_zarr(tmp_path / "found.zarr"), query)
    assert [p.name for p in tmp_path.iterdir()] == ["found.zarr"]


@pytest.mark.slow
def test_names_of_several_levels_are_written(tmp_path):
    adata = dv.data.synthetic_cohorts(n_obs=400, n_genes=60, seed=1)
    adata.X = np.log1p(adata.X)
    parent = {"class_0": "left", "class_1": "left", "class_2": "right", "class_3": "right"}
    model = model_of(adata, label_tree=parent)
    path = tmp_path / "found.zarr"
    model.annotate_lazy(with_dask(adata), path, n_rows=100, level_confidence=0.9)
    model.annotate(adata, level_confidence=0.9)
    found = ad.read_zarr(path)
    for name in found.obs:
        expected = adata.obs[name]
        if found.obs[name].dtype == "category":
            assert set(expected.cat.categories) <= set(found.obs[name].cat.categories)
            assert found.obs[name].astype(str).tolist() == expected.astype(str).tolist()
        else:
            np.testing.assert_allclose(found.obs[name], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore")
def test_files_that_are_opened_lazily_are_annotated(model, tmp_path, kind):
    pytest.importorskip("xarray")
    query, path = query_of(), tmp_path / f"query.{kind}"
    getattr(query, f"write_{kind}")(path)
    lazy = ad.experimental.read_lazy(path)
    model.annotate_lazy(lazy, tmp_path / "found.zarr")
    model.annotate(query)
    assert_same(ad.read_zarr(tmp_path / "found.zarr"), query)


@pytest.mark.parametrize(
    "task",
    [
        "write_shard",
        *(pytest.param(t, marks=pytest.mark.slow) for t in ("read_shard", "sum_shard")),
    ],
)
def test_what_was_interrupted_is_finished(model, tmp_path, monkeypatch, task):
    query, path, real = query_of(), tmp_path / "found.zarr", getattr(_annotate_lazy, task)
    read = []

    def stopped(*arguments):
        if arguments[-2] == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch, dask.config.set(scheduler="sync"):
        patch.setattr(_annotate_lazy, task, stopped)
        with pytest.raises(KeyboardInterrupt):
            model.annotate_lazy(with_dask(query), path, n_rows=100)
    assert not path.exists()
    work = zarr.open_group(tmp_path / "found.zarr.unfinished" / "work.zarr", mode="r")
    done = work["done"][0].sum()
    assert done
    with pytest.raises(InputError, match="rows of a shard.*Remove it"):
        model.annotate_lazy(with_dask(query), path, n_rows=50)
    with pytest.raises(InputError, match="differs in rows, columns of obs"):
        model.annotate_lazy(with_dask(query[:400]), path, n_rows=100)
    other = query.copy()
    other.obs["domain"] = other.obs["domain"].replace({"new": "newer"})
    with pytest.raises(InputError, match=r"differs in columns of obs\."):
        model.annotate_lazy(with_dask(other), path, n_rows=100)
    for shard in np.flatnonzero(work["done"][0]):
        other = query.copy()
        other.X[100 * shard, 0] += 1
        said = f"rows {100 * shard} to {100 * shard + 99} have the checksum .*Remove the folder"
        with pytest.raises(InputError, match=said):
            model.annotate_lazy(with_dask(other), path, n_rows=100)
    real = _annotate_lazy.read_shard
    monkeypatch.setattr(
        _annotate_lazy, "read_shard", lambda b, i, k: read.append(i) or real(b, i, k)
    )
    model.annotate_lazy(with_dask(query), path, n_rows=100)
    assert len(read) == 5 - done
    model.annotate(query)
    assert_same(ad.read_zarr(path), query)


@pytest.mark.slow
def test_an_interrupt_before_the_first_task_leaves_nothing_to_finish(model, tmp_path, monkeypatch):
    query, path = query_of(100), tmp_path / "found.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(_begin, "make_result", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.annotate_lazy(with_dask(query), path)
    model.annotate_lazy(with_dask(query), path)
    assert len(ad.read_zarr(path)) == 100


def test_what_is_left_of_finished_work_is_not_resumed(model, tmp_path, monkeypatch):
    query, path = query_of(100), tmp_path / "found.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(_annotate_lazy, "shutil", SimpleNamespace(rmtree=lambda _: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            model.annotate_lazy(with_dask(query), path)
    path.rename(tmp_path / "first.zarr")
    # Of a path, what it leads to counts; numbers of any type are options.
    again = tmp_path / "first.zarr" / ".." / "found.zarr"
    model.annotate_lazy(with_dask(query), again, unknown_alpha=np.float32(0.05))
    assert len(ad.read_zarr(path)) == 100
    assert {p.name for p in tmp_path.iterdir()} == {"first.zarr", "found.zarr"}


def test_what_cannot_be_annotated_is_refused(model, tmp_path):
    query, path = query_of(100), tmp_path / "found.zarr"
    with pytest.raises(InputError, match=r"csr_matrix; .*read_lazy, or use annotate"):
        model.annotate_lazy(query, path)
    for value, said in ((np.nan, "1 values that are NaN"), (0.5, "whole numbers")):
        spoilt = query.copy()
        spoilt.X[7, 5] = value
        with pytest.raises(InputError, match=said):
            model.annotate_lazy(with_dask(spoilt), tmp_path / f"{value}.zarr")
    with pytest.raises(InputError, match="nothing"):
        model.annotate_lazy(with_dask(query), path, classes=["nothing"])
    assert not path.with_name("found.zarr.unfinished").exists()
    with pytest.raises(InputError, match="all workers see"):
        place_at(Key(str(path), "token"))
    (tmp_path / "found.zarr.unfinished").mkdir()
    (tmp_path / "found.zarr.unfinished" / "mine").touch()
    with pytest.raises(InputError, match="no unfinished work"):
        model.annotate_lazy(with_dask(query), path)
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="exists already"):
        model.annotate_lazy(with_dask(query), path)
    (tmp_path / "file.unfinished").touch()
    for taken in (tmp_path / "file", tmp_path / "file.unfinished" / "found.zarr"):
        with pytest.raises(InputError, match=r"file.unfinished is no folder\. Remove it"):
            model.annotate_lazy(with_dask(query), taken)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore")  # of anndata, on the format of zarr
def test_a_worker_that_dies_costs_nothing(model, tmp_path):
    pytest.importorskip("distributed")
    query = query_of(1000)
    model.save(tmp_path / "model")
    query.write_zarr(tmp_path / "query.zarr")
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path)]
    run_to_end(command, check=True, timeout=180, env=environment(**ONE_THREAD))
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["n_shards"] / 2 <= told["read_when_killed"] < told["n_shards"]
    model.annotate(query)
    assert_same(ad.read_zarr(tmp_path / "found.zarr"), query)
    assert not (tmp_path / "found.zarr.unfinished").exists()
