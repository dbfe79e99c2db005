"""Data that changed after they were set up, and models that go on from others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import domainvi as dv
from domainvi.errors import InputError

from .conftest import QUIET, fit, small_cohorts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData

SMALL = {"n_latent": 4, "n_hidden": 8, "n_components": 8}


def reorder(adata: AnnData) -> None:
    adata._inplace_subset_obs(np.arange(adata.n_obs)[::-1])


def subset(adata: AnnData) -> None:
    adata._inplace_subset_obs(np.arange(100))


def rename(adata: AnnData) -> None:
    adata.obs_names = [f"s{i}" for i in range(adata.n_obs)]


def rescale(adata: AnnData) -> None:
    sc.pp.scale(adata, max_value=3)


CHANGES = {
    reorder: "another order",
    subset: "has 100 rows, and had 120",
    rename: "other names",
    rescale: "changed in place",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_data_that_changed_are_refused_untouched(change: Callable[[AnnData], None]) -> None:
    adata = small_cohorts(n_obs=120, n_genes=40)
    model = fit(adata)
    change(adata)
    before = adata.copy()
    for method in (model.predict, model.annotate, model.get_latent_representation, model.train):
        with pytest.raises(InputError, match=CHANGES[change]):
            method()
    with pytest.raises(InputError, match=CHANGES[change]):
        model.annotate(adata)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert not adata.obsm
    assert not adata.uns.keys() ^ before.uns.keys()


def test_a_model_of_data_that_changed_is_saved(tmp_path: Path) -> None:
    adata = small_cohorts(n_obs=120, n_genes=40)
    model = fit(adata)
    expected = model.predict(adata.copy(), soft=True)
    subset(adata)
    model.save(tmp_path / "m")
    found = dv.DomainVI.load(tmp_path / "m").predict(adata.copy(), soft=True)
    pd.testing.assert_frame_equal(found, expected.iloc[:100], atol=1e-5)


def test_a_copy_of_data_that_changed_is_read_anew() -> None:
    adata = small_cohorts(n_obs=120, n_genes=40)
    model = fit(adata)
    expected = model.predict(soft=True)
    subset(adata)
    query = adata.copy()
    model.annotate(query)
    assert (query.obs["label_pred"] == expected.idxmax(axis=1).loc[query.obs_names]).mean() > 0.95


@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test_names_of_any_kind_are_those_that_were_set_up(dtype: str) -> None:
    adata = small_cohorts(n_obs=120, n_genes=40)
    adata.obs.index = adata.obs_names.astype(dtype)
    model = fit(adata)
    model.annotate(adata)
    assert adata.obs["label_pred"].notna().all()


def test_columns_written_by_the_user_change_nothing() -> None:
    adata = small_cohorts(n_obs=120, n_genes=40)
    model = fit(adata)
    expected = model.predict(soft=True)
    adata.obs["label"] = "other"
    adata.layers["raw"] = np.zeros(adata.shape)
    pd.testing.assert_frame_equal(model.predict(soft=True), expected)


def saved(adata: AnnData, tmp_path: Path, **setup: Any) -> Path:
    model = fit(adata, **setup)
    model.save(tmp_path / "m")
    return tmp_path / "m"


def test_load_refuses_values_on_another_scale(tmp_path: Path) -> None:
    logs, counts = small_cohorts(values="log"), small_cohorts(values="counts")
    path = saved(logs, tmp_path)
    with pytest.raises(InputError, match="Log-transform as in training"):
        dv.DomainVI.load(path, counts)
    path = saved(counts, tmp_path / "counts")
    with pytest.raises(InputError, match="counts"):
        dv.DomainVI.load(path, logs)


def test_load_refuses_new_levels_of_a_covariate(tmp_path: Path) -> None:
    adata = small_cohorts()
    adata.obs["sex"] = np.where(np.arange(adata.n_obs) % 2, "f", "m")
    dv.DomainVI.setup_anndata(
        adata, batch_key="domain", labels_key="label", categorical_covariate_keys=["sex"]
    )
    model = dv.DomainVI(adata, **SMALL)
    model.train(max_epochs=1, **QUIET)
    model.save(tmp_path / "m")
    other = adata.copy()
    other.obs["sex"] = "x"
    with pytest.raises(InputError, match="new levels in sex"):
        dv.DomainVI.load(tmp_path / "m", other)


def test_training_on_needs_all_genes(tmp_path: Path) -> None:
    adata = small_cohorts()
    path = saved(adata, tmp_path)
    loaded = dv.DomainVI.load(path, adata[:, :-10].copy())
    assert len(loaded.predict()) == adata.n_obs
    with pytest.raises(InputError, match="lack 10 of .* genes"):
        loaded.train(max_epochs=1, **QUIET)


@pytest.mark.parametrize("is_labelled", [True, False])
def test_a_query_that_is_trained_whole_keeps_what_can_be_trusted(is_labelled: bool) -> None:
    adata = small_cohorts(n_domains=3)
    is_query = (adata.obs["domain"] == "domain_2").to_numpy()
    model = fit(adata[~is_query].copy())
    query = adata[is_query].copy()
    query.obs["label"] = query.obs["label_true"] if is_labelled else "Unknown"
    mapped = dv.DomainVI.load_query_data(query, model, unfrozen=True)
    mapped.train(max_epochs=1, **QUIET)
    assert mapped.fitted.calibration
    assert mapped.fitted.unknown
    mapped.annotate(query)
    assert query.obs["label_unknown"].notna().all()


def test_one_cohort_trains_a_loaded_model_on(tmp_path: Path) -> None:
    adata = small_cohorts()
    adata.obs["label"] = adata.obs["label_true"]
    path = saved(adata, tmp_path)
    one = adata[adata.obs["domain"] == "domain_0"].copy()
    loaded = dv.DomainVI.load(path, one)
    loaded.train(max_epochs=1, **QUIET)
    assert np.isfinite(loaded.predict(soft=True).to_numpy()).all()


def test_stability_repeats_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    adata = small_cohorts(n_obs=120, n_genes=40)
    model = fit(adata)
    arguments = {"max_epochs": 2, "train_size": 0.8, "batch_size": 16, "plan_kwargs": {"lr": 1e-4}}
    model.train(**arguments, force_alignment=True, **QUIET)
    seen: list[dict[str, Any]] = []
    real = dv.DomainVI.train

    def spy(self: dv.DomainVI, **kwargs: Any) -> None:
        seen.append(kwargs)
        real(self, **kwargs)

    monkeypatch.setattr(dv.DomainVI, "train", spy)
    model.explain(stability=2)
    assert {k: seen[0][k] for k in arguments} == arguments
    assert seen[0]["force_alignment"]


def test_stability_cannot_repeat_pretraining() -> None:
    adata = small_cohorts(n_obs=120, n_genes=40)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, **SMALL)
    model.pretrain(max_epochs=1, **QUIET)
    model.train(max_epochs=1, **QUIET)
    with pytest.raises(InputError, match="cannot repeat its pretraining"):
        model.explain(stability=2)
