"""Differential expression in scvi-tools' signature finds planted genes, and few others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scvi

import domainvi as dv
from domainvi.errors import InputError, NotTrainedError

from .conftest import QUIET

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

CALLED = "is_de_fdr_0.05"
VALUES = ("counts", "log")


def train(values: str, seed: int, **kwargs: Any) -> dv.DomainVI:
    settings = {"n_obs": 500, "n_genes": 400, "n_markers": 12, "domain_effect": 2.0, **kwargs}
    adata = dv.data.synthetic_cohorts(**settings, values=values, class_mix_shift=0.5, seed=seed)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, seed=seed)
    model.train(max_epochs=12, **QUIET)
    return model


@pytest.fixture(scope="module", params=VALUES)
def model(request: pytest.FixtureRequest) -> dv.DomainVI:
    return train(request.param, seed=0)


def is_true(model: dv.DomainVI, found: pd.DataFrame, *classes: str) -> pd.Series:
    return model.adata.var["marker_of"].reindex(found.index).isin(classes)


@pytest.mark.slow
@pytest.mark.parametrize("values", VALUES)
def test_planted_genes_are_found_and_few_others(values: str) -> None:
    n_called = n_false = 0
    for seed in range(3):
        model = train(values, seed)
        found = model.differential_expression(
            groupby="label_true", group1="class_0", group2="class_1", batch_correction=True
        )
        true = is_true(model, found, "class_0", "class_1")
        n_called += int(found[CALLED].sum())
        n_false += int((found[CALLED] & ~true).sum())
        assert found.loc[true, CALLED].mean() > 0.9
        own = is_true(model, found, "class_0")
        assert (found.loc[own, "lfc_mean"] > 0).all()
        rest = model.differential_expression(groupby="label_true", batch_correction=True)
        assert len(rest) == 4 * 400
        for name, table in rest.groupby("group1"):
            marks = is_true(model, table, name)
            assert table.loc[marks, CALLED].mean() > 0.8
            assert table["comparison"].unique().tolist() == [f"{name} vs Rest"]
    assert n_false / n_called <= 0.08


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what SCANVI warns of is its own affair
def test_more_planted_genes_are_found_than_by_scanvi() -> None:
    power: dict[str, list[float]] = {"ours": [], "scanvi": []}
    for seed in range(3):
        ours = train("counts", seed)
        truth = ours.adata.var["marker_of"].isin(["class_0", "class_1"])
        for name, model in (("ours", ours), ("scanvi", scanvi(ours.adata.copy(), seed))):
            called = model.differential_expression(
                groupby="label_true",
                group1="class_0",
                group2="class_1",
                mode="change",
                batch_correction=True,
                silent=True,
            )[CALLED].astype(bool)
            power[name].append(float(called[truth[called.index]].mean()))
            if name == "ours":
                assert (called & ~truth[called.index]).sum() <= 0.08 * called.sum()
    assert min(power["ours"]) > 0.9
    assert all(a >= b for a, b in zip(power["ours"], power["scanvi"], strict=True))


def scanvi(adata: AnnData, seed: int) -> scvi.model.SCANVI:
    """Train SCANVI as its tutorials do: SCVI first."""
    scvi.settings.seed = seed
    scvi.model.SCVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    first = scvi.model.SCVI(adata, gene_likelihood="nb")
    first.train(max_epochs=60, accelerator="cpu", **QUIET)
    model = scvi.model.SCANVI.from_scvi_model(first, "Unknown")
    model.train(max_epochs=20, accelerator="cpu", **QUIET)
    return model


def test_planted_genes_are_found(model: dv.DomainVI) -> None:
    found = model.differential_expression(
        groupby="label_true", group1="class_0", group2="class_1", batch_correction=True
    )
    true = is_true(model, found, "class_0", "class_1")
    assert found.loc[true, CALLED].mean() > 0.9
    assert (found[CALLED] & ~true).sum() <= 0.08 * found[CALLED].sum()


def test_effects_of_cohorts_are_no_differences(model: dv.DomainVI) -> None:
    """The first class in one cohort against the same class in the other."""
    obs = model.adata.obs
    first = obs["label_true"] == "class_0"
    one, two = (first & (obs["domain"] == f"domain_{d}") for d in (0, 1))
    assert min(one.sum(), two.sum()) > 20
    rows = (one.to_numpy(), np.flatnonzero(two))
    raw = model.differential_expression(idx1=rows[0], idx2=rows[1])
    corrected = model.differential_expression(idx1=rows[0], idx2=rows[1], batch_correction=True)
    assert raw[CALLED].sum() > 40
    assert corrected[CALLED].sum() < raw[CALLED].sum() / 4
    assert corrected["p_adjusted"].isna().all()  # no cohort has both
    assert "comparison" not in corrected


def test_halves_of_a_class_do_not_differ(model: dv.DomainVI) -> None:
    model.adata.obs["half"] = None
    rows = np.flatnonzero(model.adata.obs["label_true"] == "class_1")
    halves = np.array(["a", "b"], dtype=object)[np.arange(len(rows)) % 2]
    model.adata.obs.iloc[rows, model.adata.obs.columns.get_loc("half")] = halves
    found = model.differential_expression(groupby="half", group1="a", batch_correction=True)
    assert found[CALLED].sum() <= 1  # rows without a half are in no group
    mean = model.adata.X[rows[1::2]].mean(axis=0)
    np.testing.assert_allclose(found["raw_mean2"].reindex(model.genes), mean, rtol=1e-4)


def test_results_repeat_and_nothing_is_written(model: dv.DomainVI) -> None:
    columns = list(model.adata.obs)
    arguments = {"groupby": "label", "group1": "class_0", "n_samples_overall": 500}
    found = [model.differential_expression(**arguments) for _ in range(2)]
    assert found[0].equals(found[1])
    assert list(model.adata.obs) == columns
    assert model.adata.uns.keys() == {"truth"}


def test_unlabelled_rows_are_no_group(model: dv.DomainVI) -> None:
    found = model.differential_expression(groupby="label", n_samples_overall=200)
    assert set(found["group1"]) == {f"class_{k}" for k in range(4)}


def test_other_modes_and_columns(model: dv.DomainVI) -> None:
    arguments = {"groupby": "label_true", "group1": ["class_0", "class_1"], "group2": "class_2"}
    arguments |= {"n_samples_overall": 300}
    vanilla = model.differential_expression(**arguments, mode="vanilla", all_stats=False)
    assert {"proba_m1", "p_adjusted"} <= set(vanilla)
    assert not [name for name in vanilla if name.startswith(("raw", "non_zeros", "is_de"))]
    strict = model.differential_expression(**arguments, delta=None, fdr_target=0.01)
    assert {"raw_mean1", "non_zeros_proportion2", "is_de_fdr_0.01"} <= set(strict)
    assert ("raw_normalized_mean1" in strict) == (model.likelihood != "normal")
    one = model.differential_expression(
        **arguments, batch_correction=True, batchid1=["domain_0"], batchid2=["domain_0"]
    )
    assert len(one) == 2 * 400
    query = model.differential_expression(model.adata[:200].copy(), idx1="domain == 'domain_0'")
    assert len(query) == 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "groupby=None"),
        ({"groupby": "lable_true"}, "Did you mean 'label_true'"),
        ({"groupby": "label_true", "group1": "class_9"}, "'class_9' is no group"),
        ({"groupby": "label_true", "group2": "class_9"}, "'class_9' is no group"),
        ({"idx1": "no_column == 1"}, "chooses no rows"),
        ({"idx1": [10_000]}, "chooses no rows"),
        ({"idx1": []}, "chooses no rows of 500"),
        ({"groupby": "label_true", "batchid1": ["x"]}, "batchid1 has 'x'"),
        ({"groupby": "label_true", "mode": "other"}, "mode='other'"),
        ({"groupby": "label_true", "fdr_target": 5}, "fdr_target=5"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    model: dv.DomainVI, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model.differential_expression(**arguments)


def test_untrained_models_and_new_cohorts_are_refused(model: dv.DomainVI) -> None:
    query = model.adata[:100].copy()
    query.obs["domain"] = "elsewhere"
    with pytest.raises(InputError, match="load_query_data"):
        model.differential_expression(query, groupby="label_true")
    with pytest.raises(NotTrainedError):
        dv.DomainVI(model.adata).differential_expression(groupby="label_true")


def test_expression_is_averaged_over_draws(model: dv.DomainVI) -> None:
    mean = model.get_normalized_expression(indices=range(20)).to_numpy()
    draws = model.get_normalized_expression(indices=range(20), n_samples=30).to_numpy()
    one = model.get_normalized_expression(indices=range(20), n_samples=1).to_numpy()
    assert 0 < np.abs(draws - mean).mean() < np.abs(one - mean).mean()


def test_cohorts_that_are_numbers_can_be_named_as_numbers() -> None:
    adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
    adata.obs["domain"] = adata.obs["domain"].cat.codes.astype(int)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata)
    model.train(max_epochs=1, **QUIET)
    expected = model.get_normalized_expression(transform_batch="1")
    for name in (1, [1], np.int64(1)):
        assert model.get_normalized_expression(transform_batch=name).equals(expected)
