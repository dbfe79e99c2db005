"""Starting values: statistics, members, projection and mean profiles in a modality."""

import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from domainvi.linear import (
    TrainingRows,
    domain_statistics,
    fit_linear_ensemble,
    leading_genes,
    source_statistics,
)
from domainvi.module import DomainVAE
from domainvi.train import _start, initialise


def codes(*values):
    return np.array(values, dtype=np.int64)


def module_for(rows, likelihood="normal", **kwargs):
    sizes = {"n_latent": 4, "n_hidden": 8, "n_components": 6}
    n_genes, n_domains = rows.x.shape[1], rows.n_domains
    return DomainVAE(n_genes, [n_domains], rows.n_classes, likelihood=likelihood, **sizes, **kwargs)


def modality_for(rows, likelihood="normal"):
    return module_for(rows, likelihood).modalities.only


@pytest.mark.parametrize(
    ("scaling", "expected"), [("domain", domain_statistics), ("global", source_statistics)]
)
def test_scaling_by_name(planted, scaling, expected):
    rows, _ = planted()
    modality = modality_for(rows)
    assert initialise(modality, rows, scaling) is None
    assert modality.linear.n_members == 0
    for found, values in zip(
        (modality.standardiser.loc, modality.standardiser.scale), expected(rows), strict=True
    ):
        np.testing.assert_allclose(found.numpy(), values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shown", [0, 6])
def test_members_in_the_module_say_what_the_fit_says(planted, shown):
    rows, _ = planted(shown=shown)
    module = module_for(rows)
    modality = module.modalities.only
    fit = initialise(modality, rows, "mix")
    domain = torch.from_numpy(rows.domain)
    linear = modality.linear(torch.from_numpy(rows.x), domain)
    module.network_share.fill_(0.0)
    module.log_prior.copy_(torch.as_tensor(fit.log_prior))
    found = module.ensemble(linear, linear, domain).exp()
    np.testing.assert_allclose(found.numpy(), fit.probs, atol=5e-4)
    np.testing.assert_allclose(fit.probs, fit_linear_ensemble(rows).probs)
    np.testing.assert_allclose(modality.linear.weight.sum(), 1, rtol=1e-6)
    assert modality.linear.weight[-1] == 0
    names = [*fit.members, "unadapted"]
    assert modality.linear.is_shared.tolist() == [name == "shared" for name in names]
    np.testing.assert_allclose(modality.standardiser.loc.numpy(), fit.statistics.centre, rtol=1e-5)
    np.testing.assert_allclose(modality.composition.prior, fit.classes.prior, rtol=1e-6)
    np.testing.assert_allclose(modality.composition.coef, fit.row_experts.coef, rtol=1e-5)


def test_genes_beyond_the_leading_ones_are_masked_in_members(planted, monkeypatch):
    monkeypatch.setattr("domainvi.linear._statistics.N_TOP_GENES", 50)
    rows, _ = planted()
    modality = modality_for(rows)
    initialise(modality, rows, "mix")
    genes = leading_genes(rows)
    rest = np.setdiff1d(np.arange(rows.x.shape[1]), genes)
    assert len(genes) == 50
    assert torch.isinf(modality.linear.scale[..., rest]).all()
    assert torch.isfinite(modality.linear.scale[..., genes]).all()
    assert torch.isfinite(modality.standardiser.scale).all()
    assert not modality.z_encoder.projection.weight[:, rest].any()
    x, domain = torch.from_numpy(rows.x), torch.from_numpy(rows.domain)
    changed = x.clone()
    changed[:, rest] = 1e6
    assert torch.equal(modality.linear(x, domain), modality.linear(changed, domain))


def test_the_projection_starts_at_principal_components(planted):
    rows, _ = planted()
    modality = modality_for(rows)
    initialise(modality, rows, "domain")
    s = modality.standardiser(torch.from_numpy(rows.x), torch.from_numpy(rows.domain))
    scores = modality.z_encoder.projection(s).detach().numpy()
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-4)
    spread = scores.std(axis=0, ddof=1)
    assert spread[0] == pytest.approx(1, abs=1e-3)
    assert (np.diff(spread) < 1e-4).all()
    corr = np.corrcoef(scores.T)
    np.testing.assert_allclose(corr, np.eye(6), atol=1e-3)


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_the_decoder_starts_at_the_mean_profile(planted, likelihood):
    rows, _ = planted()
    modality = modality_for(rows, likelihood)
    initialise(modality, rows, "domain")
    library = torch.full((2, 1), 1e4)
    px = modality.likelihood(
        torch.zeros(2, 120), library, torch.tensor([0, 1]), modality.standardiser
    )
    mean = (px.mu if likelihood == "zinb" else px.mean).detach().numpy()
    for d in (0, 1):
        profile = np.expm1(rows.x[rows.domain == d].astype(np.float64)).mean(axis=0)
        np.testing.assert_allclose(mean[d], 1e4 * profile / profile.sum(), rtol=1e-3, atol=1e-2)


def test_a_domain_without_a_single_count_gets_a_finite_profile():
    x = np.zeros((6, 4), dtype=np.float32)
    x[:3] = np.random.default_rng(0).uniform(size=(3, 4))
    rows = TrainingRows(
        x, codes(0, 0, 0, 1, 1, 1), codes(0, 1, 0, -1, -1, -1), np.array([1, 0]) > 0, 2
    )
    modality = modality_for(rows, "nb")
    initialise(modality, rows, "domain")
    assert torch.isfinite(modality.likelihood.baseline).all()


def test_starting_values_need_one_copy_of_the_rows_in_double_precision(planted):
    rows, _ = planted(n_obs=1200, n_genes=900)
    modality = modality_for(rows, "nb")
    tracemalloc.start()
    initialise(modality, rows, "mix")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    copy = 8 * rows.x.size
    # The copy that components are made of; besides it the components themselves, an eighth a view.
    assert copy < peak < 2.5 * copy


def test_rows_are_freed_before_members_are_fitted(planted, monkeypatch):
    monkeypatch.setattr("domainvi.linear._statistics.N_TOP_GENES", 50)
    seen, alive = [], []

    def read():
        rows = replace(planted()[0])
        seen.append(weakref.ref(rows))
        return rows

    def fit(part):
        alive.append(seen[0]() is not None)
        return fit_linear_ensemble(part)

    monkeypatch.setattr(_start, "fit_linear_ensemble", fit)
    modality = modality_for(planted()[0])
    initialise(modality, read(), "mix")
    assert alive == [False]
