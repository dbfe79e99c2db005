"""Rows gathered on a device, here the CPU: the same batches as from the host."""

import numpy as np
import pytest
import torch
from scipy import sparse

import domainvi as dv
import domainvi.data._loaders as loaders
from domainvi.data import PreparedRows
from domainvi.data._rows import DeviceRows, fits


def prepared(adata):
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    return dv.DomainVI(adata)._validate_anndata()


@pytest.mark.parametrize("csr", [False, True])
def test_batches_are_those_of_the_host(make_adata, csr):
    adata = make_adata(counts=True, csr=csr)
    if csr:
        # A row without a single entry.
        adata.X = sparse.vstack([adata.X[:7], 0 * adata.X[7], adata.X[8:]], format="csr")
        adata.X.eliminate_zeros()
    rows = PreparedRows(prepared(adata).manager)
    on_device = DeviceRows(rows, torch.device("cpu"))
    assert len(on_device) == adata.n_obs
    for index in ([3, 1, 1, 119], [7], [7, 0, 7], list(range(120))):
        expected, found = rows[index], on_device[index]
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key].numpy(), value)
            assert found[key].numpy().dtype == value.dtype


@pytest.mark.parametrize("csr", [False, True])
def test_training_on_it_is_the_same(make_adata, csr, monkeypatch):
    adata = make_adata(counts=True, csr=csr)
    losses = []
    for here in (False, True):
        monkeypatch.setattr(loaders, "fits", lambda *_, here=here: here)
        dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
        model = dv.DomainVI(adata, n_latent=4, n_hidden=8)
        model.train(max_epochs=2, accelerator="cpu", enable_progress_bar=False)
        losses.append(model.history["train_loss"].to_numpy(dtype=float))
    np.testing.assert_array_equal(*losses)


def test_the_host_keeps_what_is_on_the_host(make_adata):
    assert not fits(make_adata().X, torch.device("cpu"))


@pytest.mark.gpu
def test_a_matrix_that_fits_goes_to_the_gpu(make_adata):
    adata = make_adata(counts=True, csr=True)
    rows = PreparedRows(prepared(adata).manager)
    device = torch.device("cuda", 0)
    assert fits(rows.matrix, device)
    found = DeviceRows(rows, device)[[3, 1]]
    assert found["X"].device == device
    np.testing.assert_array_equal(found["X"].cpu().numpy(), rows[[3, 1]]["X"])
