"""Planted cohorts: classes are recovered, the domain is hidden, and the seed decides everything."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import domainvi as dv
from domainvi.metrics import domain_probe, macro_f1

from .conftest import QUIET, fit, small_cohorts


def test_classes_move_where_a_source_only_classifier_fails() -> None:
    adata = small_cohorts(n_obs=600, n_genes=200, domain_effect=3.0, seed=0)
    x = np.log1p(np.asarray(adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X))
    truth = adata.obs["label_true"].astype(str).to_numpy()
    hidden = (adata.obs["label"] == "Unknown").to_numpy()
    plain = LogisticRegression(max_iter=2000).fit(x[~hidden], truth[~hidden])
    assert macro_f1(truth[hidden], plain.predict(x[hidden])) < 0.6
    model = fit(adata)
    assert macro_f1(truth[hidden], model.predict()[hidden]) >= 0.95


@pytest.mark.slow
def test_a_fresh_probe_finds_the_domain_only_without_the_adversary() -> None:
    adata = small_cohorts(n_obs=1200, n_genes=200, domain_effect=2.0, seed=1)
    domain = adata.obs["domain"].cat.codes.to_numpy()
    label = adata.obs["label_true"].astype("category").cat.codes.to_numpy()
    found = {}
    for weight in (None, 0.0):
        dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        model = dv.DomainVI(adata)
        model.train(plan_kwargs={} if weight is None else {"adversary_weight": weight}, **QUIET)
        z = model.get_latent_representation()
        probes = [
            domain_probe(z, domain, label, classifier=kind).within_class
            for kind in ("logistic", "forest")
        ]
        found[weight] = [*probes, float(model.history["domain_probe_train"].iloc[-1, 0])]
    assert max(found[None][:2]) <= 0.55
    assert min(found[0.0]) > 0.65
    assert found[None][2] < found[0.0][2] - 0.1


def test_same_seed_same_result_another_seed_another() -> None:
    adata = small_cohorts(n_obs=120)
    first, second = (fit(adata, max_epochs=1, seed=7).get_latent_representation() for _ in "ab")
    np.testing.assert_array_equal(first, second)
    other = fit(adata, max_epochs=1, seed=8).get_latent_representation()
    assert np.abs(other - first).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target"), [("rnaseq", "agilent"), ("agilent", "rnaseq")])
def test_real_platforms(source: str, target: str) -> None:
    adata = dv.data.cohorts()
    truth = adata.obs["cancer_type"].astype(str).to_numpy()
    hidden = (adata.obs["cohort"] == target).to_numpy()
    adata.obs["label"] = np.where(hidden, "Unknown", truth)
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    model = dv.DomainVI(adata)
    model.train(**QUIET)
    assert source in model.domains
    assert macro_f1(truth[hidden], model.predict()[hidden]) >= 0.85
