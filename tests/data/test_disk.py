"""Rows that stay in their file: order, genes, pools, and models trained from them."""

import sys

import anndata as ad
import numpy as np
import pytest
from lightning.pytorch.callbacks import Callback
from scipy import sparse

import domainvi as dv
from domainvi.data import (
    ROWS_KEY,
    TEACHER_KEY,
    PreparedRows,
    TransferDataModule,
    _disk,
    align_genes,
    row_blocks,
)
from domainvi.data._disk import DiskMatrix, n_bytes, stays_on_disk
from domainvi.errors import InputError

ORDER = np.array([5, 3, 3, 119, 0])


@pytest.fixture
def backed(make_adata, tmp_path):
    """A factory of backed objects with their copy in memory."""

    def make(**kwargs):
        adata = make_adata(counts=True, **kwargs)
        adata.write_h5ad(tmp_path / "rows.h5ad")
        return ad.read_h5ad(tmp_path / "rows.h5ad", backed="r"), adata

    return make


@pytest.fixture
def large(monkeypatch):
    """Take every file for one that is too large for memory."""
    monkeypatch.setattr(_disk, "IN_MEMORY_BYTES", 0)


def dense(x):
    return x.toarray() if sparse.issparse(x) else np.asarray(x)


@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize("factor", [0, 1000])
def test_rows_come_in_the_order_asked_for(backed, csr, factor, monkeypatch):
    on_disk, adata = backed(csr=csr)
    monkeypatch.setattr(_disk, "READ_FACTOR", factor)
    matrix = DiskMatrix(on_disk.X)
    x = dense(adata.X)
    assert matrix.shape == x.shape
    for rows in (ORDER, slice(4, 9), np.arange(120) == 7, 6, np.empty(0, dtype=int)):
        np.testing.assert_array_equal(dense(matrix[rows]), np.atleast_2d(x[rows]))


@pytest.mark.parametrize("csr", [False, True])
def test_genes_are_brought_to_those_of_a_model(backed, csr):
    on_disk, adata = backed(csr=csr)
    genes = [*adata.var_names[::-1][:12], "new"]
    alignment = align_genes(adata.var_names, genes)
    found = DiskMatrix(on_disk.X, alignment)[ORDER]
    np.testing.assert_array_equal(dense(found), dense(alignment.take(adata.X))[ORDER])


def test_small_files_are_read_and_large_ones_stay(backed, monkeypatch):
    on_disk, adata = backed(csr=True)
    size = adata.X.nnz * (4 + adata.X.indices.itemsize)
    assert n_bytes(on_disk.X) == n_bytes(adata.X) == size
    assert not stays_on_disk(on_disk.X)
    monkeypatch.setattr(_disk, "IN_MEMORY_BYTES", size - 1)
    assert stays_on_disk(on_disk.X)
    assert not stays_on_disk(adata.X)


@pytest.mark.parametrize("csr", [False, True])
def test_blocks_cover_every_row_once(backed, csr):
    on_disk, adata = backed(csr=csr)
    group = adata.obs["cohort"].cat.codes.to_numpy().astype(np.int64)
    rows = np.random.default_rng(0).permutation(120)[:77]
    for matrix in (adata.X, DiskMatrix(on_disk.X)):
        found = np.full((77, adata.n_vars), np.nan)
        for places, g, block in row_blocks(matrix, rows, group, 16):
            assert (group[rows[places]] == g).all()
            assert len(places) <= 16
            found[places] = dense(block)
        np.testing.assert_array_equal(found, dense(adata.X)[rows])


@pytest.mark.parametrize("csr", [False, True])
def test_a_pass_over_the_pools_has_every_row_once(backed, csr, monkeypatch):
    monkeypatch.setattr(_disk, "BLOCK_ROWS", 8)
    on_disk, adata = backed(csr=csr)
    rows = np.setdiff1d(np.arange(120), ORDER)
    pools = _disk.file_pools(DiskMatrix(on_disk.X), rows, 32, np.random.default_rng(0))
    seen = []
    while sum(map(len, seen)) < len(rows):
        numbers, values = next(pools)
        assert len(numbers) <= 32
        np.testing.assert_array_equal(dense(values), dense(adata.X)[numbers])
        seen.append(numbers)
    assert not np.array_equal(np.concatenate(seen), rows)
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), rows)


def test_the_labelled_half_of_a_batch_is_labelled(backed, large):
    on_disk, adata = backed(csr=True)
    dv.DomainVI.setup_anndata(on_disk, batch_key="cohort", labels_key="label")
    prepared = dv.DomainVI(on_disk)._validate_anndata()
    label = adata.obs["label"].astype(str).to_numpy()

    def weigh(rows):
        weight = (label[rows] == "a") / np.maximum((label[rows] == "a").sum(), 1)
        return weight.astype(float)

    dataset = PreparedRows(prepared.manager)
    batches = _disk.PooledBatches(dataset, np.arange(60), weigh, 6, 10, 12, seed=0)
    found = list(batches)
    assert len(found) == 12
    codes = dataset.columns["labels"].ravel()
    for batch in found:
        assert batch["X"].shape == (16, adata.n_vars)
        assert (batch["labels"][:6].ravel() == codes[label == "a"][0]).all()


@pytest.fixture
def cohorts():
    adata = dv.data.synthetic_cohorts(n_obs=400, n_genes=100, domain_effect=2.0, seed=1)
    adata.X = sparse.csr_matrix(adata.X)
    return adata


def fit(adata):
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=8, n_hidden=16)
    model.train(max_epochs=4, enable_progress_bar=False)
    return model


class Breaks(Callback):
    """Break in the second epoch."""

    def on_train_batch_end(self, trainer, *_):
        return 1 / (trainer.current_epoch - 1)


def test_training_and_inference_from_a_backed_file(cohorts, tmp_path, large):
    cohorts.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    model = fit(backed)
    assert isinstance(model._validate_anndata().X, DiskMatrix)
    truth = cohorts.obs["label_true"].astype(str)
    assert (model.predict() == truth).mean() > 0.95
    z, rows = model.get_latent_representation(), np.random.default_rng(0).permutation(400)[:50]
    np.testing.assert_allclose(model.get_latent_representation(indices=rows), z[rows], atol=1e-5)
    np.testing.assert_allclose(model.get_latent_representation(cohorts), z, atol=1e-5)
    elbo = float(model.get_elbo())
    assert np.isfinite(elbo)
    model.save(tmp_path / "model")
    loaded = dv.DomainVI.load(tmp_path / "model", backed)
    np.testing.assert_array_equal(loaded.predict(), model.predict())


def test_a_training_from_a_file_can_be_resumed(cohorts, tmp_path, large):
    cohorts.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    dv.DomainVI.setup_anndata(backed, batch_key="domain", labels_key="label")
    arguments = {"max_epochs": 4, "enable_progress_bar": False, "checkpoint_dir": tmp_path / "c"}
    with pytest.raises(ZeroDivisionError):
        dv.DomainVI(backed).train(**arguments, callbacks=[Breaks()])
    model = dv.DomainVI(backed)
    model.train(**arguments, resume=True)
    assert len(model.history["train_loss"]) == 4
    assert (model.predict() == cohorts.obs["label_true"].astype(str)).mean() > 0.95


def test_rows_from_a_file_are_numbered_in_batches(backed, large):
    on_disk, adata = backed(csr=True)
    dv.DomainVI.setup_anndata(on_disk, batch_key="cohort", labels_key="label")
    prepared = dv.DomainVI(on_disk)._validate_anndata()
    every = np.arange(120)
    data = TransferDataModule(
        prepared.manager, every, every[:0], lambda rows: rows / rows.sum(), 16, 0
    )
    data.trainer = None
    batch = next(iter(data.train_dataloader()))
    np.testing.assert_array_equal(batch["X"], dense(adata.X)[batch[ROWS_KEY]])


def test_what_a_training_was_fed_is_freed_after_it(cohorts, tmp_path, large):
    cohorts.write_h5ad(tmp_path / "c.h5ad")
    model = fit(ad.read_h5ad(tmp_path / "c.h5ad", backed="r"))
    data = model.trainer.datamodule
    assert data.teacher is None
    assert TEACHER_KEY not in data.loaded.columns
    assert next(data.pooled.batches, None) is None


def test_a_new_cohort_in_a_file_is_predicted_as_in_memory(cohorts, tmp_path, large):
    model = fit(cohorts)
    query = cohorts[:, ::-1].copy()
    query.obs["domain"] = "new"
    query.write_h5ad(tmp_path / "q.h5ad")
    backed = ad.read_h5ad(tmp_path / "q.h5ad", backed="r")
    expected = model.predict(query, soft=True)
    np.testing.assert_allclose(model.predict(backed, soft=True), expected, atol=1e-5)
    with pytest.raises(InputError, match="not in training"):
        model.get_elbo(backed)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="annbatch needs Python 3.12")
def test_training_from_a_zarr_store_with_annbatch(cohorts, tmp_path, large):
    pytest.importorskip("annbatch")
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "rows.zarr"), mode="w")
    ad.io.write_elem(group, "X", cohorts.X)
    store = ad.AnnData(ad.io.sparse_dataset(group["X"]), obs=cohorts.obs, var=cohorts.var)
    model = fit(store)
    assert _disk.reads_with_annbatch(model._validate_anndata().X)
    assert (model.predict() == cohorts.obs["label_true"].astype(str)).mean() > 0.95


def test_a_dask_array_is_read_in_chunks(cohorts, large):
    da = pytest.importorskip("dask.array")
    lazy = ad.AnnData(da.from_array(cohorts.X.toarray(), chunks=(100, 100)), obs=cohorts.obs)
    lazy.var_names = cohorts.var_names
    model = fit(cohorts)
    np.testing.assert_allclose(
        model.get_latent_representation(lazy), model.get_latent_representation(), atol=1e-5
    )
