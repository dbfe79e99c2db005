"""What setup takes, refuses and leaves alone."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import domainvi as dv
from domainvi.errors import InputError, NotTrainedError

from .conftest import QUIET, fit, small_cohorts

if TYPE_CHECKING:
    from anndata import AnnData


def snapshot(adata: AnnData) -> tuple:
    x = adata.X.toarray() if sparse.issparse(adata.X) else np.array(adata.X)
    return x, adata.obs.copy(), set(adata.uns), set(adata.obsm), list(adata.var_names)


def test_setup_and_training_write_nothing() -> None:
    adata = small_cohorts()
    before = snapshot(adata)
    fit(adata, max_epochs=1)
    after = snapshot(adata)
    np.testing.assert_array_equal(before[0], after[0])
    pd.testing.assert_frame_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_missing_labels_count_as_unlabelled() -> None:
    adata = small_cohorts()
    expected = fit(adata, max_epochs=1).predict(soft=True)
    labels = adata.obs["label"].astype(object)
    adata.obs["label"] = pd.Categorical(labels.where(labels != "Unknown", None))
    assert adata.obs["label"].isna().any()
    pd.testing.assert_frame_equal(fit(adata, max_epochs=1).predict(soft=True), expected)


def test_unused_categories_are_no_classes() -> None:
    adata = small_cohorts()
    adata.obs["label"] = adata.obs["label"].cat.add_categories("ghost")
    with pytest.warns(UserWarning, match="ghost"):
        dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    assert "ghost" not in dv.DomainVI(adata).classes


def test_model_without_setup_is_refused() -> None:
    with pytest.raises(InputError, match="setup_anndata"):
        dv.DomainVI(small_cohorts())


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.predict(),
        lambda m: m.get_latent_representation(),
        lambda m: m.annotate(),
    ],
    ids=["predict", "latent", "annotate"],
)
def test_results_need_training(call) -> None:
    adata = small_cohorts(n_obs=60)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    with pytest.raises(NotTrainedError, match="train"):
        call(dv.DomainVI(adata))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_latent": 0}, "n_latent=0"),
        ({"seed": "x"}, "seed='x' must be"),
        ({"seed": -1}, "seed=-1 must be"),
        ({"dropout_rate": 2}, "dropout_rate=2 must be"),
        ({"scaling": "zscore"}, "scaling='zscore'"),
        ({"adversary": "gan"}, "adversary='gan'"),
        ({"likelihood": "gamma"}, "likelihood='gamma'"),
    ],
)
def test_bad_constructor_arguments(kwargs: dict, message: str) -> None:
    adata = small_cohorts(n_obs=60)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    with pytest.raises(InputError, match=message):
        dv.DomainVI(adata, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"train_size": 0.0}, "train_size=0.0"),
        ({"train_size": "0.9"}, "train_size='0.9'"),
        ({"max_epochs": 2.5}, "max_epochs=2.5"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"plan_kwargs": {"lrr": 1}}, "plan_kwargs has lrr"),
    ],
)
def test_bad_training_arguments(kwargs: dict, message: str) -> None:
    adata = small_cohorts(n_obs=60)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    with pytest.raises(InputError, match=message):
        dv.DomainVI(adata).train(**kwargs)


def test_counts_are_told_from_log_values() -> None:
    counts, logs = small_cohorts(n_obs=60), small_cohorts(n_obs=60, values="log")
    for adata, expected in ((counts, "nb"), (logs, "normal")):
        dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        assert dv.DomainVI(adata).likelihood == expected
    with pytest.raises(InputError, match="likelihood='nb'"):
        dv.DomainVI(logs, likelihood="nb")


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_every_count_likelihood_trains(likelihood: str) -> None:
    adata = small_cohorts(n_obs=120)
    model = fit(adata, max_epochs=1, likelihood=likelihood)
    before = float(model.get_elbo())
    model.train(max_epochs=3, **QUIET)
    assert float(model.get_elbo()) > before


def test_several_domain_columns_have_an_adversary_each() -> None:
    adata = small_cohorts()
    adata.obs["platform"] = np.where(np.arange(adata.n_obs) % 3 == 0, "p1", "p2")
    dv.DomainVI.setup_anndata(adata, batch_key=["domain", "platform"], labels_key="label")
    model = dv.DomainVI(adata)
    model.train(max_epochs=1, **QUIET)
    assert len(model.module.alignment.heads) == 2
    assert model.module.modalities.only.decoder.hidden[0].in_features == model.module.n_latent + 4
    assert len(model.predict()) == adata.n_obs


def test_covariates_and_size_factor_reach_the_decoder() -> None:
    adata = small_cohorts()
    adata.obs["sex"] = np.where(np.arange(adata.n_obs) % 2, "f", "m")
    adata.obs["age"] = np.linspace(20, 80, adata.n_obs)
    adata.obs["depth"] = np.asarray(adata.X.sum(axis=1)).ravel() + 1.0
    dv.DomainVI.setup_anndata(
        adata,
        batch_key="domain",
        labels_key="label",
        size_factor_key="depth",
        categorical_covariate_keys=["sex"],
        continuous_covariate_keys=["age"],
    )
    model = dv.DomainVI(adata)
    model.train(max_epochs=1, **QUIET)
    assert (
        model.module.modalities.only.decoder.hidden[0].in_features
        == model.module.n_latent + 2 + 2 + 1
    )
    assert np.isfinite(float(model.get_elbo()))


def test_nothing_is_kept_alive() -> None:
    adata = small_cohorts(n_obs=80)
    model = fit(adata, max_epochs=1)
    work = model._validate_anndata()
    alive = [weakref.ref(o) for o in (adata, model, work)]
    del adata, model, work
    # The first pass frees the data, which lets go of their prepared form for the second.
    gc.collect()
    gc.collect()
    assert [ref() is None for ref in alive] == [True, True, True]


def test_view_anndata_setup_prints(model: dv.DomainVI, capsys: pytest.CaptureFixture) -> None:
    model.view_anndata_setup()
    assert "domain" in capsys.readouterr().out
    repr(model)
    assert "DomainVI: 120 genes, 2 domains, 4 classes" in capsys.readouterr().out


def test_size_factors_may_be_in_any_unit() -> None:
    adata = small_cohorts(n_obs=120)
    depth = np.asarray(adata.X.sum(axis=1)).ravel()
    results = []
    for factors in (depth, depth / np.median(depth)):
        adata.obs["depth"] = factors
        dv.DomainVI.setup_anndata(
            adata, batch_key="domain", labels_key="label", size_factor_key="depth"
        )
        model = dv.DomainVI(adata)
        model.train(max_epochs=1, **QUIET)
        results.append(model.predict(soft=True).to_numpy())
    np.testing.assert_allclose(*results, atol=1e-3)
