"""Auxiliary phenotypes from setup to the annotated file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import domainvi as dv
from domainvi.errors import InputError
from domainvi.module import heads_of, phenotype_scores

from .conftest import QUIET, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path


def planted(**kwargs: object) -> ad.AnnData:
    """Three cohorts, the last without values; sex raises three genes and age five others."""
    adata = small_cohorts(**{"n_obs": 360, "n_domains": 3, "labelled_domains": 2, **kwargs})
    rng = np.random.default_rng(5)
    x = adata.X.toarray() if hasattr(adata.X, "toarray") else np.array(adata.X)
    sex, age = rng.integers(2, size=adata.n_obs), rng.uniform(20, 80, adata.n_obs)
    depth = x.sum(axis=1, keepdims=True) / np.median(x.sum(axis=1))
    x[:, 100:103] = rng.poisson(20 * depth * np.exp(0.6 * sex[:, None]), (adata.n_obs, 3))
    x[:, 105:110] = rng.poisson(30 * depth * np.exp(0.02 * (age[:, None] - 50)), (adata.n_obs, 5))
    adata.X = x.astype(np.float32)
    hidden = (adata.obs["domain"] == "domain_2").to_numpy()
    adata.obs["sex_true"] = np.where(sex == 1, "male", "female")
    adata.obs["age_true"] = age
    shown = adata.obs["sex_true"].astype(object).where(~hidden)
    adata.obs["sex"] = pd.Categorical(shown, ["male", "female"])
    adata.obs["age"] = adata.obs["age_true"].where(~hidden & (rng.random(adata.n_obs) < 0.8))
    adata.uns["sex_colors"] = ["#0000ff", "#ff0000"]
    return adata


def fit(
    adata: ad.AnnData, keys: list[str] | None, epochs: int = 5, **kwargs: object
) -> dv.DomainVI:
    dv.DomainVI.setup_anndata(adata, "domain", "label", target_keys=keys)
    model = dv.DomainVI(adata, **kwargs)
    model.train(max_epochs=epochs, **QUIET)
    return model


@pytest.fixture(scope="module")
def adata() -> ad.AnnData:
    return planted()


@pytest.fixture(scope="module")
def model(adata: ad.AnnData) -> dv.DomainVI:
    return fit(adata, ["sex", "age"])


@pytest.fixture(scope="module")
def hidden(adata: ad.AnnData) -> np.ndarray:
    return (adata.obs["domain"] == "domain_2").to_numpy()


def test_planted_phenotypes_are_found(
    model: dv.DomainVI, adata: ad.AnnData, hidden: np.ndarray
) -> None:
    right = model.predict(target="sex") == adata.obs["sex_true"].to_numpy()
    assert right[hidden].mean() > 0.9
    truth = adata.obs["age_true"].to_numpy()[hidden]
    found = model.predict(target="age", soft=True)[hidden]
    assert np.corrcoef(found["value"], truth)[0, 1] > 0.85
    assert np.abs(found["value"] - truth).mean() < 9
    inside = np.abs(found["value"] - truth) < 1.645 * found["standard_error"]
    assert 0.8 < inside.mean() <= 1
    assert np.mean(model.predict()[hidden] == adata.obs["label_true"].to_numpy()[hidden]) > 0.9


@pytest.mark.parametrize("n_known", [4, 6])
def test_few_values_among_many_rows_are_all_used(n_known: int) -> None:
    adata = dv.data.synthetic_cohorts(n_obs=12_000, n_genes=40, n_domains=3, seed=2)
    adata.obs["sex"] = pd.Series(None, index=adata.obs_names, dtype=object)
    adata.obs["age"] = np.nan
    rows = np.random.default_rng(7).permutation(adata.n_obs)
    adata.obs.iloc[rows[:n_known], adata.obs.columns.get_loc("sex")] = ["f", "m"] * (n_known // 2)
    adata.obs.iloc[rows[:10], adata.obs.columns.get_loc("age")] = np.arange(20.0, 30.0)
    dv.DomainVI.setup_anndata(adata, "domain", "label", target_keys=["sex", "age"])
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)
    model.train(max_epochs=1, batch_size=2000, **QUIET)
    heads = heads_of(model.module)
    known = adata.obs.loc[adata.obs["sex"].notna(), "domain"].unique()
    assert [d for d, k in zip(model.domains, heads.is_known[:, 0], strict=True) if k] == sorted(
        known
    )
    assert heads.location[1].item() == pytest.approx(24.5)
    assert np.isfinite(model.predict(target="sex", soft=True).to_numpy()).all()


def test_soft_predictions(model: dv.DomainVI, adata: ad.AnnData) -> None:
    p = model.predict(target="sex", soft=True)
    assert list(p.columns) == ["male", "female"]
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(p.idxmax(axis=1), model.predict(target="sex"))
    rows = [7, 3, 300]
    pd.testing.assert_frame_equal(
        model.predict(target="sex", soft=True, indices=rows), p.iloc[rows], atol=1e-5
    )
    assert list(model.predict(target="age", soft=True).columns) == ["value", "standard_error"]
    np.testing.assert_array_equal(model.predict(target="label"), model.predict())
    with pytest.raises(InputError, match="'bmi' is not a target"):
        model.predict(target="bmi")


def test_annotate_writes_every_phenotype(
    model: dv.DomainVI, adata: ad.AnnData, hidden: np.ndarray, tmp_path: Path
) -> None:
    out = adata.copy()
    model.annotate(out)
    new = set(out.obs) - set(adata.obs)
    assert new == {
        *("label_pred", "label_conf", "label_unknown", "sex_pred", "sex_conf", "sex_unknown"),
        *("age_pred", "age_conf"),
    }
    assert set(out.obsm) == {"X_domainvi", "label_prob", "sex_prob"}
    assert out.uns["sex_pred_colors"] == ["#0000ff", "#ff0000"]
    assert list(out.obs["sex_pred"].cat.categories) == ["male", "female"]
    p = model.predict(target="sex", soft=True)
    np.testing.assert_allclose(out.obsm["sex_prob"], p, rtol=1e-5)
    np.testing.assert_allclose(out.obs["sex_conf"], p.max(axis=1), rtol=1e-5)
    assert out.obs["sex_unknown"][hidden].between(0, 1).all()
    soft = model.predict(target="age", soft=True)
    np.testing.assert_allclose(out.obs["age_pred"], soft["value"])
    np.testing.assert_allclose(out.obs["age_conf"], soft["standard_error"])
    out.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(again.obs, out.obs)
    assert list(again.uns["domainvi"]["targets"]["sex"]) == ["male", "female"]
    assert len(again.uns["domainvi"]["targets"]["age"]) == 0


def test_annotate_some_and_flag_unknown(model: dv.DomainVI, adata: ad.AnnData) -> None:
    out = adata.copy()
    model.annotate(out, targets=["sex"], unknown_alpha=1.0)
    assert out.uns["sex_pred_colors"] == ["#0000ff", "#ff0000", "#d3d3d3"]
    assert "age_pred" not in out.obs
    assert set(out.obs["sex_pred"]) == {"Unknown"}
    with pytest.raises(InputError, match="'bmi' is not a target"):
        model.annotate(adata.copy(), targets=["bmi"])


def test_save_load(model: dv.DomainVI, adata: ad.AnnData, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    expected = adata.copy()
    model.annotate(expected)
    for loaded in (dv.DomainVI.load(tmp_path / "m", adata), dv.DomainVI.load(tmp_path / "m")):
        assert loaded.phenotypes == model.phenotypes
        found = adata.copy()
        loaded.annotate(found)
        pd.testing.assert_frame_equal(found.obs, expected.obs)
        assert found.uns["sex_pred_colors"] == ["#0000ff", "#ff0000"]
    resumed = dv.DomainVI.load(tmp_path / "m", adata)
    coef = resumed.module.phenotypes.coef.clone()
    resumed.train(max_epochs=1, **QUIET)
    assert torch.equal(resumed.module.phenotypes.coef, coef)


@pytest.fixture(scope="module")
def query() -> ad.AnnData:
    other = planted(n_obs=400, n_domains=4)
    other = other[other.obs["domain"] == "domain_3"].copy()
    other.obs = other.obs.drop(columns=["sex", "age"])
    return other


def test_unseen_cohort_without_the_columns(model: dv.DomainVI, query: ad.AnnData) -> None:
    assert np.mean(model.predict(query, target="sex") == query.obs["sex_true"]) > 0.8
    value = model.predict(query, target="age")
    assert np.corrcoef(value, query.obs["age_true"])[0, 1] > 0.7
    fewer = query[:, [*range(20, 120)][::-1]].copy()
    assert np.mean(model.predict(fewer, target="sex") == query.obs["sex_true"]) > 0.8


def test_query_model_keeps_the_phenotypes(
    model: dv.DomainVI, query: ad.AnnData, tmp_path: Path
) -> None:
    before = model.predict(query, target="age", soft=True)
    mapped = dv.DomainVI.load_query_data(query, model)
    mapped.train(max_epochs=1, **QUIET)
    pd.testing.assert_frame_equal(
        mapped.predict(target="age", soft=True), before, rtol=1e-4, check_dtype=False
    )
    mapped.save(tmp_path / "q")
    out = query.copy()
    dv.DomainVI.load(tmp_path / "q", query).annotate(out)
    assert {"sex_pred", "sex_unknown", "age_conf"} <= set(out.obs)


def test_tuning_everything_on_a_query_with_values(model: dv.DomainVI, query: ad.AnnData) -> None:
    query = query.copy()
    query.obs["sex"], query.obs["age"] = query.obs["sex_true"], query.obs["age_true"]
    mapped = dv.DomainVI.load_query_data(query, model, unfrozen=True)
    start = mapped.module.phenotypes.heads.weight.clone()
    mapped.train(max_epochs=2, **QUIET)
    assert not torch.equal(mapped.module.phenotypes.heads.weight, start)
    assert "phenotype_sex_loss_train" in mapped.history


def test_scores_can_be_explained(model: dv.DomainVI, adata: ad.AnnData) -> None:
    prepared = model._validate_anndata()
    u = torch.log1p(torch.as_tensor(prepared.X[:5])).requires_grad_()
    domain = torch.zeros(5, dtype=torch.long)
    phenotype_scores(model.module, "sex", u, domain)[:, 0].sum().backward()
    sex_genes = u.grad.abs().mean(dim=0)
    assert sex_genes[100:103].min() > sex_genes[:100].median()
    assert phenotype_scores(model.module, "age", u, domain).shape == (5, 1)


@pytest.mark.parametrize("scaling", ["domain", "global"])
def test_other_scalings(adata: ad.AnnData, hidden: np.ndarray, scaling: str) -> None:
    model = fit(adata, ["sex"], epochs=2, scaling=scaling)
    right = model.predict(target="sex") == adata.obs["sex_true"].to_numpy()
    assert right[~hidden].mean() > 0.85


def test_without_phenotypes_nothing_changes(adata: ad.AnnData) -> None:
    none, empty, some = (fit(adata, keys, epochs=1) for keys in (None, [], ["sex"]))
    pd.testing.assert_frame_equal(none.predict(soft=True), empty.predict(soft=True))
    with pytest.raises(InputError, match="has no targets"):
        none.predict(target="sex")
    names = set(none.module.state_dict())
    assert not [name for name in names if "phenotype" in name]
    assert not [name for name in none.history if name.startswith("phenotype")]
    assert {n for n in some.module.state_dict() if not n.startswith("phenotypes.")} == names


def test_networks_start_the_same_with_and_without_phenotypes(adata: ad.AnnData) -> None:
    states = []
    for keys in (None, ["sex"]):
        dv.DomainVI.setup_anndata(adata, "domain", "label", target_keys=keys)
        states.append(dv.DomainVI(adata).module.state_dict())
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())


def test_a_class_name_as_a_single_key(adata: ad.AnnData) -> None:
    dv.DomainVI.setup_anndata(adata, "domain", "label", target_keys="sex")
    assert [p.key for p in dv.DomainVI(adata).phenotypes] == ["sex"]
