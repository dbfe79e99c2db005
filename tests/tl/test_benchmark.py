"""The benchmark on the user's own cohorts: who teaches, who is scored, what the table says."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from domainvi.errors import InputError
from domainvi.tl import _phenotypes, benchmark
from domainvi.tl._cohorts import Cohorts
from domainvi.tl._protocols import (
    Rows,
    cross_validation,
    draw_per_class,
    label_budget,
    leave_one_domain_out,
)


@pytest.fixture
def adata() -> ad.AnnData:
    rng = np.random.default_rng(0)
    n_rows = 150
    label = np.arange(n_rows) % 2
    x = rng.poisson(5, size=(n_rows, 20)).astype(np.float32)
    x[np.arange(n_rows), label] += 20
    obs = pd.DataFrame(
        {
            "cohort": pd.Categorical(np.repeat(["a", "b", "c"], 50)),
            "kind": np.array(["one", "two"])[label],
            "patient": [f"p{i // 4}" for i in range(n_rows)],
        },
        index=[f"s{i}" for i in range(n_rows)],
    )
    obs.loc[["s0", "s60"], "kind"] = "NA"
    return ad.AnnData(x, obs=obs)


def table(adata: ad.AnnData, **arguments: object) -> pd.DataFrame:
    keys = {"batch_key": "cohort", "labels_key": "kind", "unlabeled_category": "NA"}
    defaults = {"methods": ("logistic_regression_z", "majority")}
    return benchmark(adata, **{**keys, **defaults, **arguments})


def test_every_domain_is_held_out_once(adata: ad.AnnData) -> None:
    result = table(adata)
    assert result.columns.tolist() == [
        *("protocol", "held_out", "method", "budget", "seed", "n_train", "n_test"),
        *("macro_f1", "balanced_accuracy", "accuracy", "worst_recall", "auroc", "ece", "nll"),
        "seconds",
    ]
    assert result["held_out"].tolist() == ["a", "a", "b", "b", "c", "c"]
    linear = result[result["method"] == "logistic_regression_z"].set_index("held_out")
    assert linear["n_test"].to_dict() == {"a": 49, "b": 49, "c": 50}
    assert linear["n_train"].to_dict() == {"a": 99, "b": 99, "c": 98}
    assert linear["macro_f1"].min() > 0.95
    assert result["budget"].isna().all()
    majority = result[result["method"] == "majority"]
    np.testing.assert_allclose(majority["balanced_accuracy"], 0.5)


def test_user_object_is_not_changed(adata: ad.AnnData) -> None:
    before = adata.copy()
    table(adata, protocol="cross_validation", n_splits=2)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    np.testing.assert_array_equal(adata.X, before.X)
    assert not adata.uns


@pytest.mark.parametrize("wrap", [sp.csr_matrix, sp.csc_array, np.asarray])
def test_matrix_format_and_layer_do_not_matter(adata: ad.AnnData, wrap: type) -> None:
    adata.layers["counts"] = wrap(adata.X)
    expected = table(adata).drop(columns="seconds")
    adata.X = None
    result = table(adata, layer="counts").drop(columns="seconds")
    pd.testing.assert_frame_equal(result, expected)


def test_cross_validation_scores_each_labelled_row_once(adata: ad.AnnData) -> None:
    result = table(adata, protocol="cross_validation", n_splits=3, methods=["majority"])
    assert result["held_out"].tolist() == ["fold 1", "fold 2", "fold 3"]
    assert result["n_test"].sum() == 148


def test_budgets_show_target_labels_and_seeds_repeat(adata: ad.AnnData) -> None:
    result = table(
        adata, protocol="label_budget", budgets=(0, 3), seeds=(0, 1), methods=["majority"]
    )
    assert len(result) == 3 * 2 * 2
    shown = result[result["held_out"] == "c"].groupby("budget")
    assert shown["n_train"].unique().map(list).to_dict() == {0: [98], 3: [104]}
    assert shown["n_test"].unique().map(list).to_dict() == {0: [50], 3: [44]}


def test_groups_are_never_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    rows = Rows(
        domain=np.repeat([0, 1, 2], 40),
        label=rng.integers(-1, 3, 120),
        group=rng.integers(0, 45, 120),
    )
    trials = [
        *leave_one_domain_out(rows, ["a", "b", "c"]),
        *cross_validation(rows, 4, seed=0),
        *label_budget(rows, ["a", "b", "c"], [0, 2, 5], seed=0),
    ]
    assert len(trials) == 3 + 4 + 9
    for trial in trials:
        assert trial.is_useful
        assert not set(rows.group[trial.shown]) & set(rows.group[trial.scored])
        assert not np.any(trial.shown & trial.scored)
        assert np.all(trial.used[trial.shown | trial.scored])
        assert set(rows.label[trial.scored]) <= set(rows.label[trial.shown])


def test_a_class_rarer_than_the_folds_is_taken_as_it_is() -> None:
    rows = Rows(np.repeat([0, 1], 30), np.where(np.arange(60) < 3, 1, 0), np.arange(60))
    scored = sum(trial.scored.astype(int) for trial in cross_validation(rows, 5, seed=0))
    np.testing.assert_array_equal(scored, 1)


@pytest.mark.parametrize(("n_groups", "per_class"), [(2, 30), (60, 4)])
def test_more_folds_than_groups_or_rows_are_refused(n_groups: int, per_class: int) -> None:
    label = np.arange(60) // per_class
    rows = Rows(np.zeros(60, dtype=int), label, np.arange(60) % n_groups)
    with pytest.raises(InputError, match=f"n_splits=5 .* {n_groups} groups .* {per_class} rows"):
        list(cross_validation(rows, 5, seed=0))


def test_visible_labels_hide_the_scored_rows(adata: ad.AnnData) -> None:
    cohorts = Cohorts(adata, "cohort", "kind", "NA", None, None, None)
    for trial in cohorts.trials("leave_one_domain_out", (), 2, 0):
        assert np.all(cohorts.visible_labels(trial)[trial.scored[trial.used]] == -1)
        work = cohorts.anndata(trial)
        hidden = work.obs["label"].to_numpy()[trial.scored[trial.used]]
        assert set(hidden) == {"NA"}
        assert set(work.obs["label"]) == {"one", "two", "NA"}


def test_class_that_is_not_taught_is_not_scored() -> None:
    rows = Rows(np.repeat([0, 1], 6), np.array([0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 2, 2]), np.arange(12))
    held = list(leave_one_domain_out(rows, ["a", "b"]))[1]
    np.testing.assert_array_equal(np.flatnonzero(held.scored), [6, 7, 8, 9])


def test_larger_budget_contains_the_smaller() -> None:
    label, groups = np.arange(60) % 3, np.arange(60)
    draws = [
        draw_per_class(label, np.arange(60), groups, n, np.random.default_rng(4)) for n in (2, 5)
    ]
    assert set(draws[0].shown) < set(draws[1].shown)
    np.testing.assert_array_equal(np.bincount(label[draws[1].shown]), [5, 5, 5])
    assert len(draws[1].scored) == 45


def test_small_class_keeps_rows_to_score() -> None:
    label = np.array([0] * 40 + [1] * 7)
    draw = draw_per_class(label, np.arange(47), np.arange(47), 20, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(label[draw.shown]), [20, 5])
    np.testing.assert_array_equal(np.bincount(label[draw.scored]), [20, 2])


def test_patients_with_two_rows_keep_a_third_of_each_class() -> None:
    label, groups = np.tile([0, 1], 30), np.repeat(np.arange(30), 2)
    draw = draw_per_class(label, np.arange(60), groups, 20, np.random.default_rng(0))
    assert not set(groups[draw.shown]) & set(groups[draw.scored])
    np.testing.assert_array_equal(np.bincount(label[draw.scored]), [10, 10])
    np.testing.assert_array_equal(np.bincount(label[draw.shown]), [20, 20])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"protocol": "bootstrap"}, "protocol='bootstrap'"),
        ({"protocol": ()}, "expected one or more of"),
        ({"methods": ["svm"]}, "methods="),
        ({"methods": "majority"}, "methods='majority'"),
        ({"seeds": ()}, "seeds is empty"),
        ({"n_splits": 1}, "n_splits=1"),
        ({"budgets": (-1,)}, "budgets="),
        ({"groups": "donor"}, "groups='donor'"),
        ({"batch_key": "cohrt"}, "cohrt"),
    ],
)
def test_bad_arguments_are_named(
    adata: ad.AnnData, arguments: dict[str, object], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        table(adata, **arguments)


def test_protocols_stand_below_each_other_with_the_majority_always_there(adata: ad.AnnData) -> None:
    both = ("cross_validation", "leave_one_domain_out")
    result = table(adata, protocol=both, methods=["logistic_regression_z"], n_splits=2)
    assert result.groupby("protocol", sort=False).size().to_dict() == dict(
        zip(both, (4, 6), strict=True)
    )
    assert result["method"].tolist() == ["logistic_regression_z", "majority"] * 5


@pytest.fixture
def aged(adata: ad.AnnData) -> ad.AnnData:
    """A number that the first gene tells, but for an offset of the gene in each cohort."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=adata.shape).astype(np.float32)
    age = 50 + 10 * x[:, 0]
    x[:, 0] += 3 * pd.factorize(adata.obs["cohort"])[0]
    adata.X = x
    adata.obs["age"] = age
    adata.obs.loc[["s3", "s70"], "age"] = np.nan
    return adata


def test_numbers_are_regressed(aged: ad.AnnData) -> None:
    result = table(aged, labels_key="age", methods=None)
    assert result.columns.tolist()[-3:] == ["r2", "mae", "seconds"]
    r2 = result.groupby("method")["r2"].mean()
    assert r2["ridge_z"] > 0.9
    assert r2["random_forest"] > 0.6
    assert r2["ridge"] < 0.5  # the source's scale keeps the offset
    assert r2["mean"] <= 0
    assert result.groupby("held_out")["n_test"].first().to_dict() == {"a": 49, "b": 49, "c": 50}
    mae = result.set_index(["held_out", "method"])["mae"]
    values = aged.obs.groupby("cohort", observed=True)["age"].apply(lambda v: v.dropna().to_numpy())
    taught = np.concatenate([values["b"], values["c"]]).mean()
    assert mae["a", "mean"] == pytest.approx(np.abs(values["a"] - taught).mean(), rel=1e-5)


def test_numbers_know_every_protocol(aged: ad.AnnData) -> None:
    every = ("cross_validation", "leave_one_domain_out", "label_budget")
    keys = {"labels_key": "age", "methods": ["ridge_z"], "groups": "patient"}
    result = table(aged, protocol=every, budgets=(0, 5), n_splits=3, **keys)
    assert result.groupby("protocol").size().to_dict() == dict(zip(every, (6, 6, 12), strict=True))
    shown = result[result["held_out"].eq("c") & result["method"].eq("mean")]
    budgets = shown.dropna(subset="budget").set_index("budget")["n_train"]
    assert budgets[5] == budgets[0] + 5
    assert result.loc[result["method"] == "ridge_z", "r2"].min() > 0.8


QUIET = {"enable_progress_bar": False, "accelerator": "cpu", "max_epochs": 3}


def test_number_beside_the_main_phenotype(aged: ad.AnnData) -> None:
    keys = {"target_key": "age", "methods": None, "train_kwargs": QUIET}
    result = table(aged, **keys)
    assert result["method"].unique().tolist() == [
        *("domainvi", "ridge", "ridge_z", "random_forest", "mean")
    ]
    r2 = result.groupby("method")["r2"].mean()
    assert r2["domainvi"] > 0.5 > r2["mean"]
    alone = table(aged, labels_key="age", methods=None)
    simple = result[result["method"] != "domainvi"].reset_index(drop=True)
    pd.testing.assert_frame_equal(simple.drop(columns="seconds"), alone.drop(columns="seconds"))


def test_class_beside_the_main_phenotype(adata: ad.AnnData) -> None:
    adata.obs["other"] = np.where(np.asarray(adata.X)[:, 2] > 5, "high", "low")
    adata.obs.loc["s9", "other"] = "NA"
    adata.obs.loc["s7", "kind"] = None
    keys = {"target_key": "other", "methods": ["domainvi", "majority"], "train_kwargs": QUIET}
    result = table(adata, **keys).groupby("method")["macro_f1"].mean()
    assert result["domainvi"] > 0.8 > result["majority"]


def test_both_phenotypes_of_the_held_out_part_are_hidden(aged: ad.AnnData) -> None:
    cohorts = Cohorts(aged, "cohort", "age", "NA", None, None, "kind")
    for protocol in ("leave_one_domain_out", "cross_validation", "label_budget"):
        for trial in cohorts.trials(protocol, (5,), 3, 0):
            obs = cohorts.anndata(trial).obs
            scored = trial.scored[trial.used]
            assert obs["label"][scored].eq("NA").all()
            assert obs["target"][scored].isna().all()
            taught = trial.shown[trial.used]
            np.testing.assert_array_equal(obs["target"][taught], aged.obs["age"][trial.shown])
            np.testing.assert_array_equal(obs["label"][taught], aged.obs["kind"][trial.shown])


def test_target_that_is_the_main_phenotype(adata: ad.AnnData) -> None:
    with pytest.raises(InputError, match="kind"):
        table(adata, target_key="kind")


def test_methods_of_the_other_kind_are_refused(aged: ad.AnnData) -> None:
    with pytest.raises(InputError, match="ridge_z, random_forest, mean"):
        table(aged, labels_key="age", methods=["logistic_regression"])


def test_disjoint_classes_leave_nothing_to_score(adata: ad.AnnData) -> None:
    adata = adata[adata.obs["cohort"] != "c"].copy()
    adata.obs["kind"] = np.where(adata.obs["cohort"] == "a", "one", "two")
    with pytest.raises(InputError, match="nothing to score"):
        table(adata)


def test_a_class_that_is_shown_once_costs_no_scores(adata: ad.AnnData) -> None:
    third = (adata.obs["cohort"] == "a") & (np.arange(adata.n_obs) % 5 == 1)
    adata.obs.loc[third, "kind"] = "three"
    adata.obs.loc["s61", "kind"] = "three"  # the only one that is shown when "a" is held out
    with pytest.warns(UserWarning, match="1 of 3, 'three'"):
        result = table(
            adata,
            methods=("domainvi", "majority"),
            train_kwargs={"max_epochs": 1, "enable_progress_bar": False},
        ).set_index(["held_out", "method"])
    assert result["macro_f1"].notna().all()
    assert len(result) == 6


def test_faults_of_our_own_end_a_benchmark(
    adata: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(_phenotypes.BASELINES, "majority", fault)
    with pytest.raises(ZeroDivisionError):
        table(adata)


def test_domainvi_runs_beside_the_others(adata: ad.AnnData) -> None:
    result = table(
        adata,
        methods=("domainvi", "logistic_regression_z"),
        train_kwargs={"max_epochs": 3, "enable_progress_bar": False},
    )
    ours = result[result["method"] == "domainvi"]
    assert len(ours) == 3
    assert ours["macro_f1"].mean() > 0.7
    assert result["method"].unique().tolist() == ["domainvi", "logistic_regression_z", "majority"]
