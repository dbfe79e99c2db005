"""Scaling statistics for cohorts and genes that were not in training."""

import copy

import numpy as np
import pytest
import torch
from anndata import AnnData

from domainvi.module import EXPRESSION
from domainvi.train import extend_statistics
from domainvi.train._start import MIN_OWN_ROWS, weighted_moments


@pytest.fixture(scope="module")
def three(cohorts):
    return cohorts(n_domains=3, n_obs=240, values="log", domain_effect=2.0, class_mix_shift=0.3)


@pytest.fixture(scope="module")
def model(three, train):
    return train(three[three.obs["domain"] != "domain_2"].copy())


def newcomers(three, n):
    return three[np.flatnonzero(three.obs["domain"] == "domain_2")[:n]].copy()


def extend(model, adata):
    prepared = model._validate_anndata(adata)
    statistics, notes = extend_statistics(model.module, EXPRESSION, prepared, prepared.domain)
    return statistics, notes, prepared


def test_known_domains_keep_their_rows(model, three):
    statistics, notes, _ = extend(model, newcomers(three, 80))
    modality = model.module.modalities.only
    assert len(notes) == 1
    assert statistics.network[0].shape == (3, 60)
    assert statistics.linear[1].shape == (modality.linear.n_members, 3, 60)
    assert torch.equal(statistics.network[0][:2], modality.standardiser.loc)
    assert torch.equal(statistics.network[1][:2], modality.standardiser.scale)
    assert torch.equal(statistics.linear[0][:, :2], modality.linear.centre)


def test_a_new_cohort_is_standardised_by_its_own_rows(model, three):
    adata = newcomers(three, 80)
    statistics, notes, prepared = extend(model, adata)
    assert f"its own {len(adata)} rows" in notes[0]
    x = np.asarray(prepared.X)
    centre = statistics.network[0][2].numpy()
    # Weighted towards the class prior of training, so near the plain mean and not far from it.
    assert np.abs(centre - x.mean(axis=0)).mean() < 0.25 * x.std(axis=0).mean()
    known = model.module.modalities.only.standardiser.loc.numpy()
    assert np.abs(centre - known).mean() > 0.3


def test_a_new_cohort_is_brought_to_the_class_prior_of_training(model, three):
    everyone = newcomers(three, 80)
    truth = everyone.obs["label_true"].astype(str).to_numpy()
    even = np.concatenate([np.flatnonzero(truth == c)[:10] for c in np.unique(truth)])
    uneven = np.concatenate([even, *[even[:10]] * 3])
    certain = copy.deepcopy(model.module)
    certain.modalities.only.linear.sharpness.fill_(8.0)
    certain.network_share.fill_(0.0)
    centres, plain = [], []
    for rows in (even, uneven):
        obs = everyone.obs.iloc[rows].set_axis([f"row{i}" for i in range(len(rows))])
        adata = AnnData(np.asarray(everyone.X)[rows], obs=obs, var=everyone.var)
        prepared = model._validate_anndata(adata)
        statistics, _ = extend_statistics(certain, EXPRESSION, prepared, prepared.domain)
        centres.append(statistics.network[0][2].numpy())
        plain.append(np.asarray(adata.X).mean(axis=0))
    before, after = (np.abs(a - b).mean() for a, b in (plain, centres))
    assert after < 0.1 * before


def test_new_cohorts_are_predicted(model, three):
    adata = newcomers(three, 80)
    truth = adata.obs["label_true"].astype(str).to_numpy()
    assert (model.predict(adata) == truth).mean() > 0.9


def test_shared_members_standardise_new_cohorts_alike(model, three):
    statistics, _, _ = extend(model, newcomers(three, 80))
    shared = model.module.modalities.only.linear.is_shared
    assert shared.any()
    assert not shared.all()
    torch.testing.assert_close(
        statistics.linear[0][shared][:, 2],
        model.module.modalities.only.linear.centre[shared].mean(dim=1),
    )
    own = statistics.linear[0][:-1][~shared[:-1]][:, 2]
    assert torch.equal(own, statistics.network[0][2].expand_as(own))


def test_the_baseline_takes_the_plain_statistics_of_new_cohorts(model, three):
    statistics, _, prepared = extend(model, newcomers(three, 80))
    x = np.asarray(prepared.X)
    np.testing.assert_allclose(statistics.linear[0][-1, 2].numpy(), x.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(statistics.linear[1][-1, 2].numpy(), x.std(axis=0), atol=1e-4)
    assert not torch.allclose(statistics.network[0][2], statistics.linear[0][-1, 2], atol=1e-3)


@pytest.mark.parametrize("n", [1, 5, MIN_OWN_ROWS - 1])
def test_few_rows_are_standardised_by_the_training_cohorts(model, three, n):
    statistics, notes, _ = extend(model, newcomers(three, n))
    assert f"its {n} rows" in notes[0]
    torch.testing.assert_close(
        statistics.network[0][2], model.module.modalities.only.standardiser.loc.mean(dim=0)
    )
    torch.testing.assert_close(
        statistics.linear[0][:, 2], model.module.modalities.only.linear.centre.mean(dim=1)
    )
    assert np.isfinite(model.predict(newcomers(three, n), soft=True).to_numpy()).all()


def test_twenty_rows_are_enough(model, three):
    assert "its own 20 rows" in extend(model, newcomers(three, MIN_OWN_ROWS))[1][0]


@pytest.mark.parametrize("domain", ["domain_1", "domain_2"])
def test_missing_genes_enter_as_zero(model, three, domain):
    part = three[three.obs["domain"] == domain, 10:].copy()
    statistics, _, prepared = extend(model, part)
    assert prepared.gene_mask.tolist() == [False] * 10 + [True] * 50
    assert torch.isinf(statistics.network[1][:, :10]).all()
    assert torch.isfinite(statistics.network[1][:, 10:]).all()
    assert torch.isinf(statistics.linear[1][..., :10]).all()
    code = torch.from_numpy(prepared.domain)
    s = model.module.modalities.only.standardiser(
        torch.from_numpy(np.asarray(prepared.X)), code, statistics.network
    )
    assert not s[:, :10].any()
    assert s[:, 10:].any()


def test_genes_that_members_do_not_use_stay_masked(three, train, monkeypatch):
    monkeypatch.setattr("domainvi.linear._statistics.N_TOP_GENES", 40)
    model = train(three[three.obs["domain"] != "domain_2"].copy(), epochs=1)
    statistics, _, _ = extend(model, newcomers(three, 80))
    unused = torch.isinf(model.module.modalities.only.linear.scale[:, 0])
    assert (unused.sum(dim=1) == 20).all()
    assert torch.equal(torch.isinf(statistics.linear[1][:, 2]), unused)
    assert torch.isfinite(statistics.network[1]).all()


def test_what_fills_a_missing_gene_does_not_matter(model, three):
    part = three[three.obs["domain"] == "domain_2", 10:].copy()
    statistics, _, prepared = extend(model, part)
    domain = torch.from_numpy(prepared.domain)
    x = torch.from_numpy(np.asarray(prepared.X, dtype=np.float32))
    other = x.clone()
    other[:, :10] = 1e6
    model.module.eval()
    a, b = (model.module.embed_log(u, domain, {EXPRESSION: statistics}) for u in (x, other))
    assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


def test_several_new_cohorts_at_once(model, three):
    adata = newcomers(three, 60)
    adata.obs["domain"] = np.array(["u", "v"])[(np.arange(60) >= 50).astype(int)]
    statistics, notes, _ = extend(model, adata)
    assert statistics.network[0].shape[0] == 4
    assert ["own" in note for note in notes] == [True, False]


def test_constant_genes_of_a_new_cohort(model, three):
    adata = newcomers(three, 40)
    adata.X[:, :5] = 1.5
    statistics, _, _ = extend(model, adata)
    torch.testing.assert_close(statistics.network[1][2, :5], torch.ones(5))
    assert np.isfinite(model.predict(adata, soft=True).to_numpy()).all()


def test_a_global_scaling_serves_new_cohorts_too(three, train):
    known = three[three.obs["domain"] != "domain_2"].copy()
    model = train(known, scaling="global", epochs=1)
    model.fitted.centring = None  # which is by a cohort's own rows where the cohort is new
    same = three[three.obs["domain"] == "domain_1"].copy()
    renamed = same.copy()
    renamed.obs["domain"] = "another_name"
    np.testing.assert_allclose(
        model.get_latent_representation(renamed), model.get_latent_representation(same), atol=1e-5
    )


def test_weighted_moments_by_hand():
    u = torch.tensor([[0.0, 5.0], [4.0, 5.0]])
    centre, scale = weighted_moments(u, torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(centre, torch.tensor([1.0, 5.0]))
    torch.testing.assert_close(scale, torch.tensor([3**0.5, 1.0]))
