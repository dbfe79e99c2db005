"""Prediction sets of a model: what is returned, written, saved and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from mudata import MuData

import domainvi as dv
from domainvi.errors import InputError
from domainvi.model._diagnosis import describe_sets

from .conftest import QUIET, fit, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path


def test_sets_hold_the_prediction_and_shrink_with_alpha(
    model: dv.DomainVI, adata: ad.AnnData
) -> None:
    narrow, wide = (model.prediction_sets(alpha=a) for a in (0.3, 0.02))
    assert list(narrow.index) == list(adata.obs_names)
    assert list(narrow.columns) == list(model.predict(soft=True).columns)
    predicted = model.predict()
    for sets in (narrow, wide):
        assert sets.to_numpy()[np.arange(len(sets)), sets.columns.get_indexer(predicted)].all()
    assert (narrow.to_numpy() <= wide.to_numpy()).all()
    part = model.prediction_sets(indices=[7, 3], alpha=0.3)
    pd.testing.assert_frame_equal(part, narrow.iloc[[7, 3]])


def test_labelled_rows_are_covered_without_having_been_learnt_by_heart() -> None:
    adata = small_cohorts(n_obs=400, class_effect=0.25)
    truth = adata.obs["label_true"].astype(str).to_numpy()
    hidden = (np.arange(400) % 3 == 0) & (adata.obs["domain"] == "domain_0").to_numpy()
    adata.obs["label"] = np.where(hidden, "Unknown", adata.obs["label"].astype(str))
    model = fit(adata)
    sets = model.prediction_sets(indices=hidden)
    covered = sets.to_numpy()[np.arange(len(sets)), sets.columns.get_indexer(truth[hidden])]
    right = model.predict(indices=hidden) == truth[hidden]
    assert right.mean() < 0.85
    assert covered.mean() > 0.8  # of 66 rows, by a level from 134
    assert sets.to_numpy().mean() < 0.95


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_annotate_writes_sets(
    model: dv.DomainVI, adata: ad.AnnData, tmp_path: Path, form: str
) -> None:
    target = adata.copy()
    model.annotate(target, set_alpha=0.02)
    found = target.uns["domainvi"]["prediction_sets"]
    assert (found["alpha"], found["separator"]) == (0.02, "|")
    assert "not promised for domain_1" in found["promise"]
    sets = model.prediction_sets(alpha=0.02)
    expected = ["|".join(sets.columns[row]) for row in sets.to_numpy()]
    assert target.obs["label_set"].astype(str).tolist() == expected
    assert found["mean_size"] == pytest.approx(sets.to_numpy().sum(axis=1).mean())
    path = tmp_path / f"a.{form}"
    getattr(target, f"write_{form}")(path)
    back = getattr(ad, f"read_{form}")(path)
    assert back.obs["label_set"].astype(str).tolist() == expected
    model.annotate(target, set_alpha=0.3)  # its own column, so it is replaced
    assert target.uns["domainvi"]["prediction_sets"]["alpha"] == 0.3
    mine = adata.copy()
    mine.obs["label_set"] = "mine"
    with pytest.raises(InputError, match="obs has 'label_set' already"):
        model.annotate(mine, set_alpha=0.3)
    model.annotate(mine)
    assert (mine.obs["label_set"] == "mine").all()


def test_what_is_said_of_sets_is_of_the_rows_in_question(
    model: dv.DomainVI, adata: ad.AnnData
) -> None:
    prepared, rows = model._validate_anndata(adata), np.arange(adata.n_obs) < 10
    sets = np.zeros((adata.n_obs, len(model.classes)), dtype=bool)
    sets[:, 0], sets[:5, 1] = True, True
    said = describe_sets(model, prepared, 0.1, sets, rows, "|")
    assert (said["mean_size"], said["one_class"]) == (1.5, 0.5)


def test_rows_that_are_called_unknown_have_no_set(model: dv.DomainVI, adata: ad.AnnData) -> None:
    target = adata.copy()
    model.annotate(target, set_alpha=0.1, unknown_alpha=0.3)
    unknown = target.obs["label_pred"] == "Unknown"
    assert unknown.any()
    np.testing.assert_array_equal(target.obs["label_set"].isna(), unknown)


def test_classes_that_can_be_there(model: dv.DomainVI, adata: ad.AnnData) -> None:
    target, chosen = adata.copy(), ["class_2", "class_0"]
    model.annotate(target, set_alpha=0.02, classes=chosen)
    assert set(target.obs["label_pred"]) <= set(chosen)
    np.testing.assert_allclose(
        target.obsm["label_prob"], model.predict(soft=True, classes=chosen), rtol=1e-6
    )
    assert target.uns["domainvi"]["restricted_to"].tolist() == ["class_0", "class_2"]
    sets = model.prediction_sets(alpha=0.02, classes=chosen)
    assert not sets[["class_1", "class_3"]].to_numpy().any()
    whole = model.prediction_sets(alpha=0.02)
    # With the others ruled out, a class that was in stays in.
    assert (whole[chosen].to_numpy() <= sets[chosen].to_numpy()).all()
    with pytest.raises(InputError, match="classes has 'class_9'; the model's 4 classes are"):
        model.annotate(target, classes=["class_9"])


def test_the_separator_is_in_no_class() -> None:
    adata = small_cohorts(n_obs=120)
    names = {f"class_{i}": name for i, name in enumerate(["a|b", "c;d", "e", "f"])}
    adata.obs["label"] = adata.obs["label"].cat.rename_categories(names)
    model = fit(adata, max_epochs=1)
    model.annotate(adata, set_alpha=0.03)
    separator = adata.uns["domainvi"]["prediction_sets"]["separator"]
    assert separator == "~"
    parts = {part for text in adata.obs["label_set"] for part in text.split(separator)}
    assert parts <= set(model.classes)


def test_saved_and_loaded_sets_are_the_same(
    model: dv.DomainVI, adata: ad.AnnData, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    loaded = dv.DomainVI.load(tmp_path / "model")
    query = adata[:60].copy()
    query.obs["domain"] = "hospital"
    pd.testing.assert_frame_equal(
        loaded.prediction_sets(query, alpha=0.05), model.prediction_sets(query, alpha=0.05)
    )
    mapped = dv.DomainVI.load_query_data(query, model)
    mapped.train(max_epochs=1, **QUIET)
    assert mapped.prediction_sets(alpha=0.05).shape == (60, 4)


@pytest.mark.parametrize("alpha", [0, 1, 1.5, "x"])
def test_alpha_is_a_share(model: dv.DomainVI, adata: ad.AnnData, alpha: object) -> None:
    target = adata.copy()
    with pytest.raises(InputError, match=f"set_alpha={alpha!r} must be a number above 0"):
        model.annotate(target, set_alpha=alpha)
    assert set(target.obs) == set(adata.obs)
    with pytest.raises(InputError, match=f"alpha={alpha!r} must be a number above 0"):
        model.prediction_sets(alpha=alpha)


def test_alpha_needs_rows(model: dv.DomainVI) -> None:
    n = len(model.fitted.sets[0].score)
    with pytest.raises(InputError, match=f"need 9999 labelled rows .* the model has {n}"):
        model.prediction_sets(alpha=1e-4)


def test_a_model_without_linear_members_is_calibrated_by_its_held_out_rows() -> None:
    adata = small_cohorts()
    model = fit(adata, scaling="domain")
    assert (
        9
        <= len(model.fitted.sets[0].score)
        == np.isin(model.validation_indices, np.flatnonzero(adata.obs["label"] != "Unknown")).sum()
    )
    assert model.prediction_sets(alpha=0.1).to_numpy().any(axis=1).all()


def test_one_cohort_is_calibrated_by_its_own_labels() -> None:
    adata = small_cohorts(domain_effect=0.0)
    dv.DomainVI.setup_anndata(adata, labels_key="label")
    model = dv.DomainVI(adata)
    model.train(max_epochs=2, **QUIET)
    model.annotate(adata, set_alpha=0.1)
    assert adata.uns["domainvi"]["prediction_sets"]["promise"].endswith("labels of each cohort.")


def test_every_set_of_modalities_is_calibrated_by_itself() -> None:
    adata = small_cohorts(domain_effect=1.0)
    mdata = MuData({"rna": adata[40:, :80].copy(), "mirna": adata[:-60, 80:].copy()})
    mdata.obs = adata.obs.loc[mdata.obs_names, ["domain", "label"]]
    dv.DomainVI.setup_mudata(mdata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(mdata)
    model.train(max_epochs=1, **QUIET)
    labelled = (mdata.obs["label"] != "Unknown").to_numpy()
    has = {k: mdata.obs_names.isin(mdata[k].obs_names) for k in ("rna", "mirna")}
    counts = [(labelled & rows).sum() for rows in (*has.values(), has["rna"] & has["mirna"])]
    assert [len(model.fitted.sets[i].score) for i in range(3)] == counts
    model.annotate(mdata, set_alpha=0.1)
    assert mdata.obs["label_set"].notna().all()
    assert len(model.prediction_sets(mdata["mirna"])) == mdata["mirna"].n_obs
