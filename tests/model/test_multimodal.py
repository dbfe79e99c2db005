"""DomainVI on MuData: one modality, and several of which rows lack some."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

import domainvi as dv
from domainvi.errors import GeneMatchError, InputError
from domainvi.linear import subsample

from .conftest import QUIET, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path

N_RNA = 80
KEYS = {"batch_key": "domain", "labels_key": "label"}
WRITTEN = ("label_pred", "label_conf", "label_unknown")


def split(adata: AnnData) -> MuData:
    """Two assays of one set of rows: 40 rows lack the first, and 60 others the second."""
    parts = {"rna": adata[40:, :N_RNA].copy(), "mirna": adata[:-60, N_RNA:].copy()}
    for part in parts.values():
        part.obs = part.obs[[]]
        part.uns.clear()
    mdata = MuData(parts)
    mdata.obs = adata.obs.loc[mdata.obs_names, ["domain", "label"]]
    return mdata


def only(mdata: MuData, *names: str) -> MuData:
    """Some modalities, with the rows that have one of them."""
    out = MuData({name: mdata[name] for name in names})
    out.obs = mdata.obs.loc[out.obs_names, ["domain", "label"]]
    return out


def fit(mdata: MuData, *, max_epochs: int = 3, **kwargs: object) -> dv.DomainVI:
    dv.DomainVI.setup_mudata(mdata, **KEYS, **kwargs)
    model = dv.DomainVI(mdata)
    model.train(max_epochs=max_epochs, **QUIET)
    return model


@pytest.fixture(scope="module")
def whole() -> AnnData:
    return small_cohorts(domain_effect=1.0)


@pytest.fixture(scope="module")
def mdata(whole: AnnData) -> MuData:
    return split(whole)


@pytest.fixture(scope="module")
def model(mdata: MuData) -> dv.DomainVI:
    return fit(mdata)


def accuracy(whole: AnnData, names: pd.Index, predicted: np.ndarray) -> float:
    rows = whole.obs.loc[names]
    target = (rows["label"].astype(str) == "Unknown").to_numpy()
    return float(np.mean(rows["label_true"].astype(str).to_numpy()[target] == predicted[target]))


def test_each_modality_and_both_predict_the_other_cohort(
    model: dv.DomainVI, mdata: MuData, whole: AnnData
) -> None:
    assert model.modalities == ["rna", "mirna"]
    assert model.likelihood == {"rna": "nb", "mirna": "nb"}
    assert accuracy(whole, mdata.obs_names, model.predict()) > 0.9
    for name in ("rna", "mirna"):
        query = only(mdata, name)
        assert accuracy(whole, query.obs_names, model.predict(query)) > 0.85


def test_rows_that_lack_a_modality_are_as_if_it_were_not_there(
    model: dv.DomainVI, mdata: MuData
) -> None:
    lacking = mdata.obs_names[~mdata.obs_names.isin(mdata["mirna"].obs_names)]
    own = model.predict(soft=True).loc[lacking]
    alone = model.predict(only(mdata, "rna"), soft=True).loc[lacking]
    pd.testing.assert_frame_equal(own, alone, rtol=1e-4, atol=1e-5)


def test_modalities_may_have_any_name(mdata: MuData, tmp_path: Path) -> None:
    plain = fit(mdata, max_epochs=1)
    names = {"rna": "rna.v1", "mirna": "type"}
    renamed = MuData({names[name]: part for name, part in mdata.mod.items()})
    renamed.obs = mdata.obs.loc[renamed.obs_names, ["domain", "label"]]
    model = fit(renamed, max_epochs=1)
    pd.testing.assert_frame_equal(model.predict(soft=True), plain.predict(soft=True))
    assert list(model.likelihood) == ["rna.v1", "type"]
    model.save(tmp_path / "model")
    loaded = dv.DomainVI.load(tmp_path / "model")
    query = MuData({"type": renamed["type"]})
    query.obs = renamed.obs.loc[query.obs_names]
    pd.testing.assert_frame_equal(loaded.predict(query, soft=True), model.predict(query, soft=True))
    with pytest.raises(InputError, match="names must not be empty"):
        dv.DomainVI.setup_mudata(MuData({"": mdata["rna"]}), **KEYS)


def test_the_draw_of_rows_does_not_depend_on_their_order(
    mdata: MuData, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partial(subsample, limit=80)
    monkeypatch.setattr("domainvi.model._starting.subsample", few)
    shuffled = mdata[np.random.default_rng(1).permutation(mdata.n_obs)].copy()
    model, other = fit(mdata, max_epochs=1), fit(shuffled, max_epochs=1)
    np.testing.assert_allclose(
        model.predict(soft=True),
        other.predict(soft=True).loc[mdata.obs_names],
        rtol=1e-4,
        atol=2e-5,
    )


def test_annotate_and_the_file(model: dv.DomainVI, mdata: MuData, tmp_path: Path) -> None:
    target = only(mdata, "rna", "mirna")
    before = {name: target[name].copy() for name in target.mod}
    model.annotate(target)
    assert list(target.obs.columns) == ["domain", "label", *WRITTEN]
    assert target.obsm["X_domainvi"].shape == (mdata.n_obs, 32)
    assert np.isfinite(target.obsm["X_domainvi"]).all()
    np.testing.assert_allclose(target.obsm["label_prob"].sum(axis=1), 1, rtol=1e-5)
    assert target.uns["domainvi"]["modalities"]["mirna"] == {"genes_matched": 40, "rows": 180}
    assert target.obs["label_unknown"].between(0, 1).all()
    for name, part in before.items():
        assert target[name].obs.equals(part.obs)
        assert list(target[name].obsm) == list(part.obsm)
    target.write(tmp_path / "out.h5mu")
    back = mudata.read(tmp_path / "out.h5mu")
    pd.testing.assert_frame_equal(back.obs[list(WRITTEN)], target.obs[list(WRITTEN)])
    for key in ("X_domainvi", "label_prob"):
        np.testing.assert_array_equal(back.obsm[key], target.obsm[key])
    assert back.uns["domainvi"]["params"]["likelihood"] == model.likelihood


def test_setup_and_training_leave_the_object_alone(whole: AnnData) -> None:
    mdata = split(whole)
    before = mdata.copy()
    fit(mdata, max_epochs=1).predict()
    pd.testing.assert_frame_equal(mdata.obs, before.obs)
    for name in mdata.mod:
        assert (mdata[name].X != before[name].X).sum() == 0
        assert mdata[name].obs.equals(before[name].obs)
    assert not mdata.uns
    assert set(mdata.obsm) == set(before.obsm)


def test_save_and_load(model: dv.DomainVI, mdata: MuData, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    soft, z = model.predict(soft=True), model.get_latent_representation()
    expected = only(mdata, "rna", "mirna")
    model.annotate(expected)
    for loaded in (dv.DomainVI.load(tmp_path / "m", mdata), dv.DomainVI.load(tmp_path / "m")):
        pd.testing.assert_frame_equal(loaded.predict(mdata, soft=True), soft)
        np.testing.assert_array_equal(loaded.get_latent_representation(mdata), z)
        target = only(mdata, "rna", "mirna")
        loaded.annotate(target)
        pd.testing.assert_frame_equal(target.obs, expected.obs)
    assert {p.suffix for p in (tmp_path / "m").iterdir()} == {".json", ".safetensors"}


def test_load_with_one_modality_trains_on(
    model: dv.DomainVI, mdata: MuData, tmp_path: Path
) -> None:
    model.save(tmp_path / "m")
    query = only(mdata, "mirna")
    alone = query["mirna"].copy()
    alone.obs = query.obs.loc[alone.obs_names]
    for data in (query, alone):
        loaded = dv.DomainVI.load(tmp_path / "m", data)
        pd.testing.assert_frame_equal(loaded.predict(soft=True), model.predict(query, soft=True))
        loaded.train(max_epochs=1, **QUIET)
        assert np.isfinite(loaded.get_latent_representation()).all()


def test_a_new_cohort_of_one_modality(model: dv.DomainVI, mdata: MuData) -> None:
    new = small_cohorts(n_domains=3, domain_effect=1.0)
    new = new[new.obs["domain"] == "domain_2"]
    query = new[:, N_RNA:].copy()
    query.obs = query.obs[["domain"]]
    predicted = model.predict(query)
    assert np.mean(predicted == new.obs["label_true"].astype(str).to_numpy()) > 0.8
    model.annotate(query)
    notes = query.uns["domainvi"]["unseen_cohorts"]
    assert notes.keys() == {"domain_2"}
    assert notes["domain_2"].startswith(f"mirna: its {len(new)} rows are standardised by the shift")
    assert np.isfinite(query.obsm["X_domainvi"]).all()
    first = model.get_latent_representation(query, indices=[3, 1])
    np.testing.assert_allclose(first, query.obsm["X_domainvi"][[3, 1]], rtol=1e-5, atol=1e-5)


def test_genes_go_by_name(model: dv.DomainVI, mdata: MuData) -> None:
    turned = only(mdata, "rna", "mirna")
    turned.mod["rna"] = turned["rna"][:, ::-1].copy()
    turned.update()
    pd.testing.assert_frame_equal(
        model.predict(turned, soft=True).loc[mdata.obs_names], model.predict(soft=True), rtol=1e-5
    )
    few = mdata["rna"][:, :20].copy()
    with pytest.raises(GeneMatchError, match="'rna': .* 20 of the 80"):
        model.predict(few)


def test_a_cohort_may_lack_a_modality_altogether(whole: AnnData) -> None:
    keep = (whole.obs["domain"] == "domain_0").to_numpy()
    mdata = MuData({"rna": whole[keep, :N_RNA].copy(), "mirna": whole[:, N_RNA:].copy()})
    mdata.obs = whole.obs.loc[mdata.obs_names, ["domain", "label"]]
    model = fit(mdata)
    assert accuracy(whole, mdata.obs_names, model.predict()) > 0.85
    assert np.isfinite(model.get_latent_representation()).all()


def test_labels_may_stand_beside_one_modality_only(whole: AnnData) -> None:
    target = (whole.obs["label"].astype(str) == "Unknown").to_numpy()
    mdata = MuData({"rna": whole[:, :N_RNA].copy(), "mirna": whole[target, N_RNA:].copy()})
    mdata.obs = whole.obs.loc[mdata.obs_names, ["domain", "label"]]
    model = fit(mdata)
    assert model.module.modalities.parts["mirna"].linear.n_members == 0
    assert accuracy(whole, mdata.obs_names, model.predict()) > 0.85
    assert np.isfinite(model.predict(only(mdata, "mirna"), soft=True).to_numpy()).all()


def test_one_modality_is_the_model_of_its_anndata(whole: AnnData, tmp_path: Path) -> None:
    adata = whole[:, N_RNA:].copy()
    dv.DomainVI.setup_anndata(adata, **KEYS)
    plain = dv.DomainVI(adata)
    plain.train(max_epochs=2, **QUIET)
    bare = AnnData(adata.X, var=adata.var[[]])
    bare.obs_names = adata.obs_names
    other = AnnData(np.ones((5, 2)))
    other.obs_names = [f"other{i}" for i in range(5)]
    mdata = MuData({"mirna": bare, "other": other})
    mdata.obs = whole.obs.reindex(mdata.obs_names)[["domain", "label"]]
    model = fit(mdata, max_epochs=2, modalities="mirna")
    pd.testing.assert_frame_equal(model.predict(soft=True), plain.predict(soft=True))
    np.testing.assert_array_equal(
        model.get_latent_representation(), plain.get_latent_representation()
    )
    pd.testing.assert_frame_equal(model.predict(adata, soft=True), plain.predict(soft=True))
    model.annotate(mdata)
    outside = mdata.obs_names.isin(other.obs_names)
    assert mdata.obs.loc[outside, list(WRITTEN)].isna().all(axis=None)
    assert mdata.obs.loc[~outside, list(WRITTEN)].notna().all(axis=None)
    assert np.isnan(mdata.obsm["X_domainvi"]).any(axis=1).tolist() == outside.tolist()
    mdata.write(tmp_path / "out.h5mu")
    back = mudata.read(tmp_path / "out.h5mu")
    pd.testing.assert_frame_equal(back.obs[list(WRITTEN)], mdata.obs[list(WRITTEN)])
    model.save(tmp_path / "m")
    loaded = dv.DomainVI.load(tmp_path / "m", mdata)
    pd.testing.assert_frame_equal(loaded.predict(soft=True), model.predict(soft=True))


def test_a_likelihood_for_each_modality(whole: AnnData) -> None:
    mdata = split(whole)
    mdata["rna"].X = np.log1p(
        mdata["rna"].X.toarray() if sparse.issparse(mdata["rna"].X) else mdata["rna"].X
    )
    model = fit(mdata, max_epochs=1)
    assert model.likelihood == {"rna": "normal", "mirna": "nb"}
    with pytest.raises(InputError, match="likelihood='nb' needs counts"):
        dv.DomainVI(mdata, likelihood="nb")
    with pytest.raises(InputError, match="likelihood names rna, and the modalities are rna, mirna"):
        dv.DomainVI(mdata, likelihood={"rna": "normal"})
    chosen = dv.DomainVI(mdata, likelihood={"rna": "normal", "mirna": "poisson"})
    assert chosen.module.modalities.parts["mirna"].likelihood.kind == "poisson"
    query = split(whole)
    query["rna"].X = query["rna"].X * 1000
    with pytest.raises(InputError, match="trained on log values"):
        model.predict(query)


def test_methods_that_decode(model: dv.DomainVI) -> None:
    assert np.isfinite(float(model.get_elbo()))
    assert model.get_reconstruction_error()["reconstruction_loss"] > 0


def test_diagnose_and_guard(model: dv.DomainVI) -> None:
    assert model.diagnose().loc["mean", "n_rows"] == 240
    assert 0 <= model.fitted.guard.row_wise_share <= 1
    assert "domain_accuracy_train" in model.history


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_key": "cohort"}, "batch_key='cohort' is not a column"),
        ({"modalities": ["rna", "dna"]}, r"modalities has \['dna'\], but mdata has rna, mirna"),
        ({"size_factor_key": "depth"}, "there are 2 modalities"),
        ({"layer": "counts"}, "name layers as modalities="),
        ({"target_keys": ["sex"]}, "works on models of one modality, and there are 2"),
        ({"modalities": {"rna": "counts"}}, "layer='counts' is not in adata.layers"),
    ],
)
def test_bad_setup(mdata: MuData, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dv.DomainVI.setup_mudata(mdata, **{**KEYS, **arguments})


def test_what_does_not_go_together(model: dv.DomainVI, mdata: MuData, whole: AnnData) -> None:
    with pytest.raises(InputError, match="load_query_data works on models of one modality"):
        dv.DomainVI.load_query_data(mdata, model)
    with pytest.raises(InputError, match="explain works on models of one modality"):
        model.explain()
    with pytest.raises(InputError, match="pretrain works on models of one modality"):
        model.pretrain()
    with pytest.raises(InputError, match="pretrain_from works on models of one modality"):
        dv.DomainVI(mdata, pretrain_from="elsewhere")
    with pytest.raises(InputError, match="adata is a list"):
        model.predict([1])
    dv.DomainVI.setup_anndata(whole, **KEYS)
    plain = dv.DomainVI(whole)
    with pytest.raises(InputError, match="set up with an AnnData"):
        plain._validate_anndata(mdata)
    with pytest.raises(InputError, match="is not set up"):
        dv.DomainVI(split(whole))


def test_p_values_of_one_modality_are_ranked_among_rows_that_show_it_alone(
    model: dv.DomainVI, mdata: MuData, whole: AnnData
) -> None:
    known = only(mdata, "mirna")
    model.annotate(known)
    labelled = (known.obs["label"].astype(str) != "Unknown").to_numpy()
    p = known.obs["label_unknown"].to_numpy()[labelled]
    assert np.mean(p <= 0.05) < 0.15
    assert np.mean(p >= 0.5) > 0.3
    rng = np.random.default_rng(0)
    part = mdata["mirna"].copy()
    x = part.X.toarray() if sparse.issparse(part.X) else np.asarray(part.X).copy()
    x[:20] = rng.permuted(x[:20], axis=1)
    part.X = x
    foreign = MuData({"mirna": part})
    foreign.obs = known.obs[["domain", "label"]].copy()
    model.annotate(foreign)
    assert np.median(foreign.obs["label_unknown"].to_numpy()[:20]) < 0.1
