"""Save, load, and query data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.errors import GeneMatchError, InputError, ModelFileError
from domainvi.io import read_model, write_model

from .conftest import QUIET, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


def test_save_load_predict_is_identical(model: dv.DomainVI, adata: AnnData, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    soft, z = model.predict(soft=True), model.get_latent_representation()
    for loaded in (dv.DomainVI.load(tmp_path / "m", adata), dv.DomainVI.load(tmp_path / "m")):
        pd.testing.assert_frame_equal(loaded.predict(adata, soft=True), soft)
        np.testing.assert_array_equal(loaded.get_latent_representation(adata), z)
        assert loaded.fitted.order == model.fitted.order
        assert loaded._model_summary_string == model._model_summary_string
        pd.testing.assert_frame_equal(
            loaded.history["train_loss"], model.history["train_loss"].astype(float)
        )
        target, expected = adata.copy(), adata.copy()
        loaded.annotate(target)
        model.annotate(expected)
        pd.testing.assert_frame_equal(target.obs, expected.obs)


def test_files_hold_no_pickle(model: dv.DomainVI, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    suffixes = {p.suffix for p in (tmp_path / "m").iterdir()}
    assert suffixes == {".json", ".safetensors"}


@pytest.mark.parametrize(
    "row_ids", [np.zeros(3, dtype=np.float32), np.zeros((2, 2), dtype=np.int64)]
)
def test_training_row_ids_in_another_form_are_refused(
    model: dv.DomainVI, tmp_path: Path, row_ids: np.ndarray
) -> None:
    model.save(tmp_path / "m")
    tensors, metadata = read_model(tmp_path / "m")
    assert "training_row_ids" in tensors
    forged = tensors | {"training_row_ids": row_ids}
    write_model(tmp_path / "forged", forged, metadata, package_version="0")
    with pytest.raises(ModelFileError, match="ids of the training rows"):
        dv.DomainVI.load(tmp_path / "forged")


def test_saving_twice_needs_overwrite(model: dv.DomainVI, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    with pytest.raises(ModelFileError, match="overwrite"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", overwrite=True)


def test_loading_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        dv.DomainVI.load(tmp_path / "none")


def test_loaded_without_data_asks_for_them(model: dv.DomainVI, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    with pytest.raises(InputError, match="adata="):
        dv.DomainVI.load(tmp_path / "m").predict()


def test_training_can_go_on_after_loading(
    model: dv.DomainVI, adata: AnnData, tmp_path: Path
) -> None:
    model.save(tmp_path / "m")
    loaded = dv.DomainVI.load(tmp_path / "m", adata)
    standardiser = loaded.module.modalities.only.standardiser
    centre = standardiser.loc.clone()
    loaded.train(max_epochs=2, **QUIET)
    assert (standardiser.loc == centre).all()
    assert len(loaded.history["train_loss"]) == 5


@pytest.fixture
def query() -> AnnData:
    other = small_cohorts(n_domains=3)
    return other[other.obs["domain"] == "domain_2"].copy()


def test_query_training_leaves_the_reference(model: dv.DomainVI, query: AnnData) -> None:
    before = model.predict(query, soft=True)
    mapped = dv.DomainVI.load_query_data(query, model)
    assert mapped.domains == ["domain_0", "domain_1", "domain_2"]
    assert "row-wise share" in mapped._model_summary_string
    old = {k: v.clone() for k, v in mapped.module.state_dict().items()}
    mapped.train(max_epochs=2, **QUIET)
    np.testing.assert_allclose(mapped.predict(soft=True), before, atol=1e-5)
    changed = {k for k, v in mapped.module.state_dict().items() if not (v == old[k]).all()}
    part = "modalities.stack.0."
    assert changed - {"alignment.support_0"} <= {
        f"{part}decoder.hidden.0.weight",
        f"{part}decoder.output.weight",
        f"{part}likelihood.baseline",
    }
    weight = mapped.module.modalities.only.decoder.hidden[0].weight
    start = mapped.module.n_latent
    same = (weight == old[f"{part}decoder.hidden.0.weight"]).all(dim=0)
    assert same[: start + 2].all()
    assert not same[start + 2]
    assert np.isfinite(float(mapped.get_elbo()))


def test_query_from_a_directory(model: dv.DomainVI, query: AnnData, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    mapped = dv.DomainVI.load_query_data(query, tmp_path / "m", unfrozen=True)
    mapped.train(max_epochs=5, **QUIET)
    assert np.mean(mapped.predict() == query.obs["label_true"]) > 0.95


def test_query_without_all_genes_is_refused(model: dv.DomainVI, query: AnnData) -> None:
    with pytest.raises(InputError, match="lack 20 of 120 genes"):
        dv.DomainVI.load_query_data(query[:, :100].copy(), model)
    with pytest.raises(GeneMatchError):
        dv.DomainVI.load_query_data(query[:, :30].copy(), model)


def test_prepare_query_anndata(model: dv.DomainVI, query: AnnData) -> None:
    part = query[:, :100].copy()
    part.obsm["X_pca"], part.uns["note"] = np.ones((len(part), 2)), "kept"
    out = dv.DomainVI.prepare_query_anndata(part, model, inplace=False)
    assert list(out.var_names) == model.genes
    assert int(out.var["in_query"].sum()) == 100
    assert part.n_vars == 100
    view = part[::-1, 10:]
    for changed, rows in ((view, part.obs_names[::-1]), (part, part.obs_names)):
        assert dv.DomainVI.prepare_query_anndata(changed, model) is None
        assert list(changed.var_names) == model.genes
        assert list(changed.obs_names) == list(rows)
        assert changed.uns["note"] == "kept"
        assert changed.obsm["X_pca"].shape == (len(rows), 2)
        assert dv.DomainVI.load_query_data(changed, model).genes == model.genes
    genes = dv.DomainVI.prepare_query_anndata(part, model, return_reference_var_names=True)
    assert list(genes) == model.genes


def test_two_models_on_one_object_do_not_meet(adata: AnnData) -> None:
    apart = []
    for data in (adata.copy(), adata.copy()):
        dv.DomainVI.setup_anndata(data, batch_key="domain", labels_key="label")
        apart.append(data)
    first = dv.DomainVI(apart[0])
    first.train(max_epochs=1, **QUIET)
    second, alone = (dv.DomainVI(d, scaling="domain", seed=3) for d in apart)
    for model in (second, alone):
        model.train(max_epochs=1, **QUIET)
    pd.testing.assert_frame_equal(second.predict(soft=True), alone.predict(soft=True))
    assert float(second.history["teaching_loss_train"].iloc[-1, 0]) == 0.0


def test_training_again_without_alignment_drops_the_centring(adata: AnnData) -> None:
    data = adata.copy()
    dv.DomainVI.setup_anndata(data, batch_key="domain", labels_key="label")
    model = dv.DomainVI(data)
    model.train(max_epochs=1, **QUIET)
    assert model.fitted.centring is not None
    model.train(max_epochs=1, plan_kwargs={"adversary_weight": 0.0}, **QUIET)
    assert model.fitted.centring is None


def test_frozen_query_stays_frozen_and_leaves_the_reference_alone(
    model: dv.DomainVI, query: AnnData, tmp_path: Path
) -> None:
    prior = model.module.log_prior.clone()
    query.obs["label"] = query.obs["label_true"].to_numpy()
    mapped = dv.DomainVI.load_query_data(query, model)
    mapped.train(max_epochs=1, **QUIET)
    np.testing.assert_array_equal(model.module.log_prior, prior)
    z = mapped.get_latent_representation()
    np.testing.assert_allclose(mapped.get_latent_representation(indices=range(9)), z[:9], atol=1e-5)
    mapped.save(tmp_path / "q")
    again = dv.DomainVI.load(tmp_path / "q", query)
    again.train(max_epochs=1, **QUIET)
    np.testing.assert_allclose(again.get_latent_representation(), z, atol=1e-5)


def test_query_with_new_levels_elsewhere_is_refused() -> None:
    adata = small_cohorts(n_obs=120, n_domains=3)
    adata.obs["plate"] = np.where(np.arange(adata.n_obs) % 2, "p", "q")
    known = adata[adata.obs["domain"] != "domain_2"].copy()
    dv.DomainVI.setup_anndata(known, batch_key=["domain", "plate"], labels_key="label")
    model = dv.DomainVI(known)
    model.train(max_epochs=1, **QUIET)
    new = adata[adata.obs["domain"] == "domain_2"].copy()
    dv.DomainVI.load_query_data(new, model)
    new.obs["plate"] = "r"
    with pytest.raises(InputError, match="new levels in plate"):
        dv.DomainVI.load_query_data(new, model)


def test_loading_with_a_new_domain_says_what_to_do(
    model: dv.DomainVI, query: AnnData, tmp_path: Path
) -> None:
    model.save(tmp_path / "m")
    with pytest.raises(InputError, match="domain_2"):
        dv.DomainVI.load(tmp_path / "m", query)
