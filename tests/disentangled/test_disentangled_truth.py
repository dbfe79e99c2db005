"""The claims of disentangling, on planted factors: rows that the model never saw."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

import domainvi as dv
from domainvi.disentangled import reset_erasure
from domainvi.metrics import domain_probe, factor_probe

LEAKAGE = 0.05
COHORTS = {"biological": ["label_true"], "technical": ["domain"]}
CHANCE = {"tissue": 1 / 4, "state": 1 / 2, "platform": 1 / 2, "study": 1 / 3}


@pytest.fixture(scope="module")
def rows():
    whole = dv.data.synthetic_factors(3000, 120, seed=1)
    return whole[:2000].copy(), whole[2000:].copy()


def fit(adata, independence):
    dv.DisentangledVI.setup_anndata(adata, factor_groups=adata.uns["factor_groups"])
    model = dv.DisentangledVI(adata, n_latent=36, n_residual=12, independence=independence)
    model.train(enable_progress_bar=False)
    return model


def probes(model, fresh):
    """Balanced accuracy of each factor from each subspace, its own and others'."""
    own, foreign = {}, {}
    for factor in model.factors:
        code = fresh.obs[factor.name].cat.codes.to_numpy(dtype=np.int64)
        for name in model.subspaces:
            z = model.get_latent_representation(fresh, group=name)
            score = factor_probe(z, code, n_permutations=0).score
            (own if name == factor.group else foreign)[factor.name, name] = score
    return own, foreign


@pytest.fixture(scope="module")
def without(rows):
    return probes(fit(rows[0], "none"), rows[1])[1]


@pytest.mark.slow
@pytest.mark.parametrize("independence", ["adversarial", "covariance", "hsic"])
def test_subspaces_know_their_own_factors_and_no_others(rows, without, independence):
    adata, fresh = rows
    model = fit(adata, independence)
    own, foreign = probes(model, fresh)
    assert min(own.values()) >= 0.95
    excess = {key: score - CHANCE[key[0]] for key, score in foreign.items()}
    between = {k: v for k, v in excess.items() if k[1] != "residual"}
    assert max(map(abs, between.values())) <= LEAKAGE
    shares = model.get_variance_shares()
    for name in model.subspaces:
        planted = adata.var[f"share_{name}"]
        assert shares[name].corr(planted, method="spearman") >= 0.9
    # Without independence the same probes find more: in each factor, and significantly over all.
    gain = [without[key] - foreign[key] for key in between]
    assert min(gain) > 0
    assert ttest_1samp(gain, 0, alternative="greater").pvalue < 0.05
    assert np.mean(gain) > 0.1
    # The term does part of this on its own, without the projection after training.
    reset_erasure(model.module)
    alone = probes(model, fresh)[1]
    assert np.mean([without[key] - alone[key] for key in between]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_forest_finds_next_to_nothing_of_foreign_factors(seed):
    whole = dv.data.synthetic_cohorts(2400, seed=seed)
    adata = whole[:1200].copy()
    dv.DisentangledVI.setup_anndata(adata, factor_groups=COHORTS)
    model = dv.DisentangledVI(adata, seed=seed)
    model.train(enable_progress_bar=False)
    for rows in (adata, whole[1200:].copy()):
        found = {}
        for name in COHORTS:
            z = model.get_latent_representation(rows, group=name)
            for factor in ("label_true", "domain"):
                code = rows.obs[factor].cat.codes.to_numpy(dtype=np.int64)
                probe = domain_probe(z, code, classifier="forest")
                found[name, factor] = probe.balanced_accuracy
        assert found["biological", "domain"] <= 0.58  # chance is .50
        assert found["technical", "label_true"] <= 0.33  # chance is .25
        assert min(found["biological", "label_true"], found["technical", "domain"]) >= 0.93
