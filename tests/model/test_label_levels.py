"""Labels of several depths in one model: what is learnt, predicted, written and kept in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from mudata import MuData

import domainvi as dv
from domainvi.errors import InputError
from domainvi.linear import OpenClasses

from .conftest import QUIET, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

LINEAGE = {"class_0": "one", "class_1": "one", "class_2": "two", "class_3": "two"}
LEVELS = ["lineage", "label"]


def of_three_depths() -> AnnData:
    """Three cohorts: types are known of the first, lineages of the second, nothing of the third."""
    adata = small_cohorts(n_obs=360, n_domains=3, class_effect=1.0)
    cohort = adata.obs["domain"].astype(str).to_numpy()
    truth = adata.obs["label_true"].astype(str)
    adata.obs["label"] = truth.where(cohort == "domain_0", None)
    adata.obs["lineage"] = truth.map(LINEAGE).where(cohort != "domain_2", None)
    return adata


@pytest.fixture(scope="module")
def adata() -> AnnData:
    return of_three_depths()


@pytest.fixture(scope="module")
def model(adata: AnnData) -> dv.DomainVI:
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key=LEVELS)
    model = dv.DomainVI(adata)
    model.train(max_epochs=3, **QUIET)
    return model


def truth_of(adata: AnnData) -> pd.DataFrame:
    label = adata.obs["label_true"].astype(str)
    return pd.DataFrame({"lineage": label.map(LINEAGE), "label": label})


def test_a_cohort_without_types_teaches_and_is_told_them(
    model: dv.DomainVI, adata: AnnData
) -> None:
    assert model.classes == list(LINEAGE)
    teacher = model.module.modalities.n_members
    assert teacher
    cohort = adata.obs["domain"].to_numpy()
    right = model.predict() == truth_of(adata)["label"].to_numpy()
    assert right[cohort == "domain_1"].mean() > 0.9
    assert right[cohort == "domain_2"].mean() > 0.9


def test_the_audit_knows_coarser_labels(model: dv.DomainVI) -> None:
    found = model.fitted.audit
    assert "'domain_0' alone has labels of the finest level" in found.sentence
    assert "(coarser ones: domain_1)" in found.sentence
    assert found.n_coarse.tolist() == [0, 120, 0]
    assert found.with_predictions.n_coarse.tolist() == [0, 120, 0]
    names = [t.get_text() for t in dv.pl.audit(found, show=False).get_yticklabels()]
    assert names == [*model.classes, "coarser label", "no label"]


def test_levels_agree(model: dv.DomainVI, adata: AnnData) -> None:
    fine, coarse = model.predict(soft=True), model.predict(soft=True, target="lineage")
    assert list(coarse) == ["one", "two"]
    np.testing.assert_allclose(coarse["one"], fine["class_0"] + fine["class_1"], rtol=1e-6)
    assert (model.predict(target="lineage") == pd.Series(model.predict()).map(LINEAGE)).all()
    named = model.predict(target="lineage") == coarse.idxmax(axis=1)
    assert named.all()
    pd.testing.assert_frame_equal(model.predict(soft=True, target="label"), fine)


def test_what_is_written(model: dv.DomainVI, adata: AnnData, tmp_path: Path) -> None:
    written = adata.copy()
    model.annotate(written)
    obs = written.obs
    assert obs["label_level"].cat.categories.tolist() == LEVELS
    fine = obs["label_level"] == "label"
    assert (obs.loc[fine, "label_conf"] >= 0.8).all()
    assert obs.loc[fine, "label_pred"].isin(LINEAGE).all()
    assert (obs.loc[~fine, "label_pred"].astype(str) == obs.loc[~fine, "lineage_pred"]).all()
    assert set(obs["lineage_pred"].cat.categories) == {"one", "two"}
    assert written.obsm["lineage_prob"].shape == (360, 2)
    np.testing.assert_allclose(
        written.obsm["lineage_prob"].max(axis=1), obs["lineage_conf"], rtol=1e-5
    )
    assert written.uns["domainvi"]["levels"].tolist() == LEVELS
    written.write_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(ad.read_h5ad(tmp_path / "a.h5ad").obs, obs)
    found = dv.metrics.level_accuracy(
        truth_of(adata),
        np.column_stack([model.predict(target=level) for level in LEVELS]),
        obs["label_level"].cat.codes,
    )
    assert found.accuracy.min() > 0.9
    assert found.share_named.sum() == pytest.approx(1.0)


def test_a_model_without_levels_leaves_no_coarser_names_of_another(
    model: dv.DomainVI, adata: AnnData, caplog: pytest.LogCaptureFixture
) -> None:
    written = adata.copy()
    written.obs["lineage_conf_of_mine"] = 1.0
    model.annotate(written, level_confidence=None)
    written.uns["lineage_pred_colors"] = ["#000000", "#ffffff"]
    flat = adata.copy()
    dv.DomainVI.setup_anndata(flat, batch_key="domain", labels_key="label")
    other = dv.DomainVI(flat)
    other.train(max_epochs=1, **QUIET)
    other.annotate(flat)
    with caplog.at_level("INFO", logger="domainvi"):
        other.annotate(written)
    assert "Result of an earlier model, removed: lineage_pred." in caplog.messages
    assert set(written.obs) == {*flat.obs, "lineage_conf_of_mine"}
    assert set(written.obsm) == set(flat.obsm)
    assert set(written.uns) == set(flat.uns)
    assert list(written.uns["domainvi"]["columns"]) == list(flat.uns["domainvi"]["columns"])


def test_the_threshold_moves_rows_between_levels(model: dv.DomainVI, adata: AnnData) -> None:
    share = {}
    for confidence in (None, 0.0, 0.8, 1.0):
        written = adata.copy()
        model.annotate(written, level_confidence=confidence)
        share[confidence] = (written.obs["label_level"] == "label").mean()
    assert share[None] == share[0.0] == 1.0
    assert share[0.8] >= share[1.0]
    assert share[1.0] < 1.0
    with pytest.raises(InputError, match=r"level_confidence=80 must be a number from 0 to 1"):
        model.annotate(adata.copy(), level_confidence=80)


def test_unknown_rows_have_no_name_at_any_level(model: dv.DomainVI, adata: AnnData) -> None:
    written = adata.copy()
    model.annotate(written, unknown_alpha=1.0)
    assert (written.obs["label_pred"] == "Unknown").all()
    assert (written.obs["lineage_pred"] == "Unknown").all()


def test_levels_are_kept_in_files_and_serve_queries(
    model: dv.DomainVI, adata: AnnData, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    loaded = dv.DomainVI.load(tmp_path / "model")
    assert loaded.label_tree == model.label_tree
    query = adata[adata.obs["domain"] == "domain_2"].copy()
    del query.obs["label"], query.obs["lineage"]
    query.obs["domain"] = "hospital"
    loaded.annotate(query)
    assert {"lineage_pred", "lineage_conf", "label_pred", "label_conf", "label_level"} <= set(
        query.obs
    )
    again = dv.DomainVI.load(tmp_path / "model", adata=adata)
    assert (again.predict(target="lineage") == model.predict(target="lineage")).all()


def test_names_in_one_column_with_their_parents(model: dv.DomainVI, adata: AnnData) -> None:
    one = adata.copy()
    one.obs["label"] = one.obs["label"].where(one.obs["label"].notna(), one.obs["lineage"])
    del one.obs["lineage"]
    dv.DomainVI.setup_anndata(one, batch_key="domain", labels_key="label", label_tree=LINEAGE)
    same = dv.DomainVI(one)
    same.train(max_epochs=3, **QUIET)
    assert same.classes == model.classes
    np.testing.assert_allclose(same.predict(soft=True), model.predict(soft=True), atol=1e-5)
    same.annotate(one)
    assert {"label_level_1_pred", "label_pred", "label_level"} <= set(one.obs)


def test_one_level_is_no_tree(adata: AnnData) -> None:
    flat = adata.copy()
    dv.DomainVI.setup_anndata(flat, batch_key="domain", labels_key=["label"])
    model = dv.DomainVI(flat)
    assert model.label_tree is None
    assert model.registry_["setup_args"]["labels_key"] == "label"


def test_several_modalities(adata: AnnData) -> None:
    mdata = MuData({"rna": adata[:, :60].copy(), "mirna": adata[:300, 60:].copy()})
    mdata.obs = adata.obs[["domain", "label", "lineage"]]
    dv.DomainVI.setup_mudata(mdata, batch_key="domain", labels_key=LEVELS)
    model = dv.DomainVI(mdata)
    model.train(max_epochs=1, **QUIET)
    model.annotate(mdata)
    assert mdata.obs["lineage_pred"].notna().all()


def test_what_is_refused(adata: AnnData) -> None:
    for arguments, message in (
        ({"labels_key": ["linage", "label"]}, "'linage' is not a column.*Did you mean 'lineage'"),
        ({"labels_key": ["label", "label"]}, "names a column twice"),
        ({"labels_key": LEVELS, "label_tree": LINEAGE}, "is a tree: leave label_tree out"),
        ({"labels_key": []}, "is a list; expected the name of a column"),
    ):
        with pytest.raises(InputError, match=message):
            dv.DomainVI.setup_anndata(adata, batch_key="domain", **arguments)


def test_coarse_labels_of_test_rows_are_not_read(adata: AnnData) -> None:
    part, found = np.arange(adata.n_obs) % 10, []
    rows = [np.flatnonzero(part > 1), np.flatnonzero(part == 1)]
    for lie in ({}, {"one": "two", "two": "one"}):
        other = adata.copy()
        other.obs.loc[part == 0, "label"] = None
        other.obs.loc[part == 0, "lineage"] = adata.obs["lineage"][part == 0].replace(lie)
        dv.DomainVI.setup_anndata(other, batch_key="domain", labels_key=LEVELS)
        model = dv.DomainVI(other)
        model.train(max_epochs=1, datasplitter_kwargs={"external_indexing": rows}, **QUIET)
        found.append(model.predict(soft=True).to_numpy())
    np.testing.assert_array_equal(*found)


def test_probabilities_are_kept_to_open_classes() -> None:
    rows = OpenClasses(np.array([0, 1, 1]), np.array([[True] * 3, [True, True, False]]))
    p = np.array([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(
        rows.restrict(p), [[0.2, 0.3, 0.5], [0.4, 0.6, 0.0], [0.5, 0.5, 0.0]]
    )
