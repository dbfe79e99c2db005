"""What a trained model returns and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import domainvi as dv
from domainvi.errors import GeneMatchError, InputError
from domainvi.model._starting import linear_probabilities

from .conftest import QUIET, fit, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path


def test_shapes_and_types(model: dv.DomainVI, adata: ad.AnnData) -> None:
    z = model.get_latent_representation()
    assert z.shape == (adata.n_obs, 32)
    assert z.dtype == np.float32
    mean, variance = model.get_latent_representation(return_dist=True)
    np.testing.assert_array_equal(mean, z)
    assert (variance > 0).all()
    soft = model.predict(soft=True)
    np.testing.assert_allclose(soft.sum(axis=1), 1.0, rtol=1e-6)
    assert list(soft.index) == list(adata.obs_names)
    np.testing.assert_array_equal(model.predict(), soft.columns[soft.to_numpy().argmax(axis=1)])


def test_rows_come_back_in_the_order_asked(model: dv.DomainVI) -> None:
    rows = [17, 3, 200, 3]
    whole = model.predict(soft=True)
    part = model.predict(indices=rows, soft=True)
    np.testing.assert_allclose(part, whole.iloc[rows], atol=1e-6)
    mask = np.zeros(len(whole), dtype=bool)
    mask[[3, 17]] = True
    assert list(model.predict(indices=mask, soft=True).index) == list(whole.index[[3, 17]])
    assert len(model.predict(indices=[])) == 0
    with pytest.raises(InputError, match="240 rows"):
        model.predict(indices=[240])


def test_annotate_leaves_no_results_of_another_model(adata: ad.AnnData, model: dv.DomainVI) -> None:
    target = adata.copy()
    model.annotate(target)
    expected = set(target.obs)
    target.obs = target.obs.assign(label_set="a", label_level="x", sex_pred="f", mine_set="m")
    earlier = [*target.uns["domainvi"]["columns"], "label_set", "label_level", "sex_pred"]
    target.uns["domainvi"]["columns"] = np.array(earlier, dtype=object)
    model.annotate(target)
    assert set(target.obs) == expected | {"sex_pred", "mine_set"}
    ours = expected - set(adata.obs) | {"X_domainvi", "label_prob", "sex_pred"}
    assert set(target.uns["domainvi"]["columns"]) == ours


def test_annotate_writes_the_documented_keys_only(adata: ad.AnnData, model: dv.DomainVI) -> None:
    target = adata.copy()
    model.annotate(target)
    assert set(target.obs) - set(adata.obs) == {"label_pred", "label_conf", "label_unknown"}
    assert set(target.obsm) - set(adata.obsm) == {"X_domainvi", "label_prob"}
    assert set(target.uns) - set(adata.uns) == {"domainvi"}
    assert target.obsm["X_domainvi"].dtype == np.float32
    prob = target.obsm["label_prob"]
    np.testing.assert_allclose(target.obs["label_conf"], prob.max(axis=1), rtol=1e-6)
    classes = target.uns["domainvi"]["classes"]
    np.testing.assert_array_equal(target.obs["label_pred"], classes[prob.argmax(axis=1)])
    assert target.obs["label_unknown"].between(0, 1).all()
    assert target.uns["domainvi"]["audit"]["verdict"] == "conditional only"


def test_annotated_object_survives_h5ad(
    adata: ad.AnnData, model: dv.DomainVI, tmp_path: Path
) -> None:
    target = adata.copy()
    model.annotate(target)
    target.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(back.obs, target.obs)
    for key in ("X_domainvi", "label_prob"):
        np.testing.assert_array_equal(back.obsm[key], target.obsm[key])
    assert back.uns["domainvi"].keys() == target.uns["domainvi"].keys()
    np.testing.assert_array_equal(
        back.uns["domainvi"]["classes"], target.uns["domainvi"]["classes"]
    )


@pytest.mark.parametrize("alpha", [2, -1, "x", float("nan")])
def test_unknown_alpha_is_a_share(adata: ad.AnnData, model: dv.DomainVI, alpha: object) -> None:
    target = adata.copy()
    with pytest.raises(InputError, match=f"unknown_alpha={alpha!r} must be a number from 0 to 1"):
        model.annotate(target, unknown_alpha=alpha)
    assert set(target.obs) == set(adata.obs)


def test_unknown_alpha_labels_rows_unknown(adata: ad.AnnData, model: dv.DomainVI) -> None:
    target = adata.copy()
    model.annotate(target, unknown_alpha=0.3)
    expected = target.obs["label_unknown"] <= 0.3
    assert expected.any()
    np.testing.assert_array_equal(target.obs["label_pred"] == "Unknown", expected)


def test_order_and_colours_of_classes_are_those_of_the_reference() -> None:
    adata = small_cohorts(n_obs=120)
    order = ["class_2", "class_0", "Unknown", "class_3", "class_1"]
    adata.obs["label"] = adata.obs["label"].cat.reorder_categories(order)
    colors = dict(zip(order, ["#111111", "#222222", "#333333", "#444444", "#555555"], strict=True))
    adata.uns["label_colors"] = list(colors.values())
    model = fit(adata, max_epochs=1)
    model.annotate(adata)
    known = [c for c in order if c != "Unknown"]
    assert list(adata.obs["label_pred"].cat.categories) == known
    assert list(adata.uns["label_pred_colors"]) == [colors[c] for c in known]
    model.annotate(adata, unknown_alpha=0.5)
    assert list(adata.obs["label_pred"].cat.categories) == [*known, "Unknown"]
    assert list(adata.uns["label_pred_colors"]) == [*(colors[c] for c in known), "#d3d3d3"]
    assert list(model.predict(soft=True).columns) == known


def test_permuted_genes_give_identical_results(model: dv.DomainVI, adata: ad.AnnData) -> None:
    order = np.random.default_rng(0).permutation(adata.n_vars)
    shuffled = adata[:, order].copy()
    pd.testing.assert_frame_equal(model.predict(shuffled, soft=True), model.predict(soft=True))
    np.testing.assert_array_equal(
        model.get_latent_representation(shuffled), model.get_latent_representation()
    )


def test_formats_give_the_same_results(
    model: dv.DomainVI, adata: ad.AnnData, tmp_path: Path
) -> None:
    expected = model.predict(soft=True)
    dense = np.asarray(adata.X.toarray() if sparse.issparse(adata.X) else adata.X)
    matrices = {
        "csr": sparse.csr_matrix(dense),
        "csc": sparse.csc_matrix(dense),
        "csr_array": sparse.csr_array(dense),
        "float64": dense.astype(np.float64),
        "integer": dense.astype(np.int32),
    }
    for name, matrix in matrices.items():
        other = ad.AnnData(matrix, obs=adata.obs, var=adata.var)
        np.testing.assert_allclose(
            model.predict(other, soft=True), expected, atol=1e-5, err_msg=name
        )
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    np.testing.assert_allclose(model.predict(backed, soft=True), expected, atol=1e-5)
    view = adata[adata.obs["domain"] == "domain_1"]
    assert view.is_view
    np.testing.assert_allclose(
        model.predict(view, soft=True), expected.loc[view.obs_names], atol=1e-5
    )


def test_missing_genes_are_masked_and_too_few_refused(
    model: dv.DomainVI, adata: ad.AnnData, caplog: pytest.LogCaptureFixture
) -> None:
    truth = adata.obs["label_true"].to_numpy()
    with caplog.at_level("WARNING", logger="domainvi"):
        predicted = model.predict(adata[:, :100].copy())
    assert "20 of 120 genes" in caplog.text
    assert np.mean(predicted == truth) > 0.95
    with pytest.raises(GeneMatchError, match="40 of the 120"):
        model.predict(adata[:, :40].copy())


def test_cohort_unseen_in_training(model: dv.DomainVI) -> None:
    other = small_cohorts(n_domains=3)
    new = other[other.obs["domain"] == "domain_2"].copy()
    assert np.mean(model.predict(new) == new.obs["label_true"]) > 0.9
    del new.obs["domain"], new.obs["label"]
    assert np.mean(model.predict(new) == new.obs["label_true"]) > 0.9
    assert len(model.predict(new[:1])) == 1
    with pytest.raises(InputError, match="load_query_data"):
        model.get_elbo(new)


def test_annotate_says_how_an_unseen_cohort_was_scaled(model: dv.DomainVI, tmp_path: Path) -> None:
    other = small_cohorts(n_domains=3)
    new = other[other.obs["domain"] == "domain_2"].copy()
    new.obs["domain"] = "batch/7"
    few = new[:5].copy()
    for part, words in ((new, "its 80 rows"), (few, "its 5 rows")):
        model.annotate(part)
        assert words in part.uns["domainvi"]["unseen_cohorts"]["batch|7"]
        part.write_h5ad(tmp_path / "new.h5ad")


def test_rows_without_a_cohort_are_of_none_whatever_the_cohorts_are_called() -> None:
    adata = small_cohorts(n_domains=3)
    plain = ["first", "second", "third"]
    new = adata[(adata.obs["domain"] == "domain_2").to_numpy()].copy()
    del new.obs["domain"]
    found = []
    for names in (plain, ["first", "unseen", "unseen_"]):
        adata.obs["domain"] = adata.obs["domain"].cat.rename_categories(names)
        own = adata[(adata.obs["domain"] != names[2]).to_numpy()].copy()
        dv.DomainVI.setup_anndata(own, batch_key="domain", labels_key="label")
        model = dv.DomainVI(own, n_latent=4, n_hidden=8, n_components=8)
        model.train(max_epochs=1, **QUIET)
        found.append(model.get_latent_representation(new))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_subset_of_an_unseen_cohort_agrees_with_the_whole(model: dv.DomainVI) -> None:
    other = small_cohorts(n_domains=3)
    new = other[other.obs["domain"] == "domain_2"].copy()
    z = model.get_latent_representation(new)
    np.testing.assert_allclose(
        model.get_latent_representation(new, indices=[5, 2]), z[[5, 2]], atol=1e-5
    )


def test_labelled_target_rows_help() -> None:
    adata = small_cohorts(class_mix_shift=0.5, n_obs=300)
    truth = adata.obs["label_true"].astype(str)
    target = (adata.obs["domain"] == "domain_1").to_numpy()
    shown = adata.obs["label"].astype(str).to_numpy()
    for c in np.unique(truth):
        rows = np.flatnonzero(target & (truth == c).to_numpy())[:5]
        shown[rows] = c
    adata.obs["label"] = pd.Categorical(shown)
    model = fit(adata)
    assert float(model.module.modalities.row_wise_share) == 0.0
    # Class proportions of the target are estimated once it has labels, and only there.
    assert model.module.log_prior[1].abs().max() > 0
    assert model.module.log_prior[0].abs().max() == 0
    prior = model.fitted.guard.target_class_prior
    assert prior[1].sum() == pytest.approx(1.0)
    assert np.isnan(prior[0]).all()
    hidden = target & (shown == "Unknown")
    assert np.mean(model.predict()[hidden] == truth[hidden]) > 0.9


def test_confounded_design_is_not_aligned() -> None:
    adata = small_cohorts(n_classes=2, confounding=1.0, labelled_domains=2)
    model = fit(adata, max_epochs=1)
    assert model.fitted.audit.verdict == "refused"
    assert model.fitted.guard.alignment == "off"
    assert model.fitted.centring is None
    assert float(model.history["adversary_weight"].iloc[-1, 0]) == 0.0
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    forced = dv.DomainVI(adata)
    forced.train(max_epochs=1, force_alignment=True, **QUIET)
    assert forced.fitted.guard.alignment == "as set up"
    assert float(forced.history["adversary_weight"].iloc[-1, 0]) > 0


def test_history_has_every_term(model: dv.DomainVI) -> None:
    expected = {
        "train_loss",
        "validation_loss",
        "elbo_train",
        "classification_loss_train",
        "teaching_loss_train",
        "adversary_loss_train",
        "domain_accuracy_train",
        "domain_accuracy_chance",
        "domain_probe_train",
        "domain_probe_chance",
        "accuracy_validation",
    }
    assert expected <= set(model.history)
    assert len(model.history["train_loss"]) == 3
    assert float(model.history["domain_accuracy_chance"].iloc[-1, 0]) == 0.5


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: np.log1p(x), "likelihood='nb' needs counts"),
        (lambda x: np.where(np.arange(x.size).reshape(x.shape) == 7, np.nan, x), "NaN"),
        (lambda x: -x, "negative"),
    ],
    ids=["log values", "nan", "negative"],
)
def test_new_data_are_checked(model: dv.DomainVI, adata: ad.AnnData, spoil, message: str) -> None:
    dense = adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)
    other = ad.AnnData(spoil(dense).astype(np.float32), obs=adata.obs, var=adata.var)
    with pytest.raises(InputError, match=message):
        model.predict(other)


def test_guard_and_second_audit_are_recorded(
    model: dv.DomainVI, adata: ad.AnnData, capsys: pytest.CaptureFixture
) -> None:
    guard = model.fitted.guard
    assert 0 <= guard.row_wise_share <= 1
    assert guard.row_wise_share == float(model.module.modalities.row_wise_share)
    assert float(model.history["row_wise_share"].iloc[-1, 0]) == guard.row_wise_share
    assert guard.target_class_prior is None  # no label in the target to estimate it by
    after = model.fitted.audit.with_predictions
    assert after.uses_predictions
    assert after.table.sum() == adata.n_obs
    repr(model)
    assert "row-wise share" in capsys.readouterr().out


def test_diagnose_sees_the_domain_leave_the_latents(model: dv.DomainVI) -> None:
    report = model.diagnose()
    assert list(report.index) == [*model.classes, "mean"]
    assert report.loc["mean", "probe_input"] > 0.6
    assert report.loc["mean", "probe_latent"] < report.loc["mean", "probe_input"]
    classes = report.loc[model.classes]
    assert classes["shift_latent"].mean() < classes["shift_input"].mean()
    assert classes["n_rows"].sum() == report.loc["mean", "n_rows"]
    for measure in ("chance", "probe_latent", "a_distance_latent", "shift_latent"):
        assert report.loc["mean", measure] == pytest.approx(classes[measure].mean())


def test_a_cohort_of_few_rows_does_not_change_chance() -> None:
    adata = small_cohorts(n_obs=80)
    adata.obs["domain"] = adata.obs["domain"].astype(str)
    adata.obs.iloc[:4, adata.obs.columns.get_loc("domain")] = "few"
    report = fit(adata, max_epochs=1).diagnose()
    assert (report["chance"] == 0.5).all()
    assert report.loc["mean", "n_rows"] == 80
    assert report["n_rows"].iloc[:-1].sum() <= 76


def test_counts_are_refused_by_a_model_of_log_values() -> None:
    model = fit(small_cohorts(n_obs=80, values="log"), max_epochs=1)
    with pytest.raises(InputError, match="trained on log values"):
        model.predict(small_cohorts(n_obs=80, library_size=200_000))


def test_only_classes_that_can_be_there_are_predicted(model: dv.DomainVI) -> None:
    whole = model.predict(soft=True)
    part = model.predict(soft=True, classes=["class_1", "class_2"])
    assert (part[["class_0", "class_3"]] == 0).all(axis=None)
    expected = whole[["class_1", "class_2"]].div(whole[["class_1", "class_2"]].sum(axis=1), axis=0)
    np.testing.assert_allclose(part[["class_1", "class_2"]], expected, rtol=1e-6)
    assert set(model.predict(classes=["class_1", "class_2"])) == {"class_1", "class_2"}
    assert set(model.predict(classes="class_0")) == {"class_0"}
    pd.testing.assert_frame_equal(model.predict(soft=True, classes=model.classes), whole)
    for classes in (["class_1", "classs_2"], []):
        with pytest.raises(InputError, match="the model's 4 classes are class_0, class_1"):
            model.predict(classes=classes)


def test_rows_are_answered_some_at_a_time(
    model: dv.DomainVI, adata: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, classes = adata.copy(), list(model.classes)[:2]
    model.annotate(whole, classes=classes)
    monkeypatch.setattr("domainvi.model._annotate.ANSWERED_ROWS", 70)
    parts = adata.copy()
    model.annotate(parts, classes=classes)
    np.testing.assert_array_equal(parts.obsm["label_prob"], whole.obsm["label_prob"])
    assert parts.obs.equals(whole.obs)
    np.testing.assert_array_equal(parts.obs["label_pred"], model.predict(classes=classes))
    np.testing.assert_allclose(
        parts.obsm["label_prob"], model.predict(soft=True, classes=classes), atol=1e-6
    )


def test_many_answers_of_the_teacher_are_kept_in_half_precision(
    model: dv.DomainVI, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = model._validate_anndata()
    single = linear_probabilities(model, prepared)
    monkeypatch.setattr("domainvi.model._starting.MANY_VALUES", 100)
    half = linear_probabilities(model, prepared)
    assert (single.dtype, half.dtype) == (np.float32, np.float16)
    np.testing.assert_allclose(half, single, rtol=1e-3, atol=1e-6)
