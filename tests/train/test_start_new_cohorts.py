"""Scaling statistics for cohorts and genes that were not in training."""

import numpy as np
import pytest
import torch

from domainvi.module import EXPRESSION
from domainvi.train import extend_statistics
from domainvi.train._new_cohorts import MIN_OWN_ROWS


@pytest.fixture(scope="module")
def three(cohorts):
    return cohorts(n_domains=3, n_obs=240, values="log", domain_effect=2.0, class_mix_shift=0.3)


@pytest.fixture(scope="module")
def model(three, train):
    return train(three[three.obs["domain"] != "domain_2"].copy())


@pytest.fixture(scope="module")
def near(cohorts):
    """Cohorts near enough that composition and platform can be told apart."""
    return cohorts(n_domains=3, n_obs=240, values="log", domain_effect=0.5, class_mix_shift=0.3)


@pytest.fixture(scope="module")
def model_of_near(near, train):
    return train(near[near.obs["domain"] != "domain_2"].copy())


def newcomers(three, n):
    return three[np.flatnonzero(three.obs["domain"] == "domain_2")[:n]].copy()


def extend(model, adata):
    prepared = model._validate_anndata(adata)
    statistics, notes = extend_statistics(model.module, EXPRESSION, prepared, prepared.domain)
    return statistics, [note.said for note in notes], prepared


def test_known_domains_keep_their_rows(model, three):
    statistics, notes, _ = extend(model, newcomers(three, 80))
    modality = model.module.modalities.only
    assert len(notes) == 1
    assert statistics.network[0].shape == (3, 60)
    assert statistics.linear[1].shape == (modality.linear.n_members, 3, 60)
    assert torch.equal(statistics.network[0][:2], modality.standardiser.loc)
    assert torch.equal(statistics.network[1][:2], modality.standardiser.scale)
    assert torch.equal(statistics.linear[0][:, :2], modality.linear.centre)


def test_a_new_cohort_is_standardised_by_its_shift(model, three):
    adata = newcomers(three, 80)
    statistics, notes, prepared = extend(model, adata)
    assert f"its {len(adata)} rows are standardised by the shift" in notes[0]
    x = np.asarray(prepared.X)
    centre = statistics.network[0][2].numpy()
    # Brought to the class prior of training, so near the plain mean and not far from it.
    assert np.abs(centre - x.mean(axis=0)).mean() < 0.25 * x.std(axis=0).mean()
    known = model.module.modalities.only.standardiser.loc.numpy()
    assert np.abs(centre - known).mean() > 0.3


def test_a_cohort_of_one_class_is_centred_where_its_class_belongs(model_of_near, near):
    model, everyone = model_of_near, newcomers(near, 80)
    truth = everyone.obs["label_true"].astype(str).to_numpy()
    centres = [extend(model, everyone)[0].network[0][2].numpy()]
    for c in np.unique(truth):
        part = everyone[truth == c].copy()
        centres.append(extend(model, part)[0].network[0][2].numpy())
        plain = np.asarray(part.X).mean(axis=0)
        assert np.abs(centres[-1] - centres[0]).mean() < 0.6 * np.abs(plain - centres[0]).mean()
        assert (model.predict(part) == c).mean() > 0.9


def test_more_rows_of_one_class_do_not_harm(model_of_near, near):
    model, everyone = model_of_near, newcomers(near, 80)
    truth = everyone.obs["label_true"].astype(str).to_numpy()
    rows = np.flatnonzero(truth == truth[0])
    right = [(model.predict(everyone[rows[:n]].copy()) == truth[0]).mean() for n in (5, 15, 20)]
    right.append((model.predict(everyone[rows].copy()) == truth[0]).mean())
    assert min(right) > 0.9


def test_new_cohorts_are_predicted(model, three):
    adata = newcomers(three, 80)
    truth = adata.obs["label_true"].astype(str).to_numpy()
    assert (model.predict(adata) == truth).mean() > 0.9


def test_shared_members_standardise_new_cohorts_alike(three, train):
    known = three[three.obs["domain"] != "domain_2"].copy()
    known.obs["label"] = known.obs["label_true"].astype(str)  # no target, so that it is kept
    model = train(known, epochs=1)
    statistics, _, _ = extend(model, newcomers(three, 80))
    linear = model.module.modalities.only.linear
    assert linear.is_shared.tolist() == [False, False, True, False]
    torch.testing.assert_close(statistics.linear[0][2, 2], linear.centre[2].mean(dim=0))
    own = statistics.linear[0][:2, 2]
    assert torch.equal(own, statistics.network[0][2].expand_as(own))


def test_unadapted_rows_take_the_plain_statistics_of_new_cohorts(model, three):
    statistics, _, prepared = extend(model, newcomers(three, 80))
    x = np.asarray(prepared.X)
    np.testing.assert_allclose(statistics.linear[0][-1, 2].numpy(), x.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(statistics.linear[1][-1, 2].numpy(), x.std(axis=0), atol=1e-4)
    assert not torch.allclose(statistics.network[0][2], statistics.linear[0][-1, 2], atol=1e-3)


@pytest.mark.parametrize("n", [1, 5, MIN_OWN_ROWS - 1])
def test_few_rows_are_predicted(model_of_near, near, n):
    model, adata = model_of_near, newcomers(near, n)
    statistics, notes, _ = extend(model, adata)
    assert f"its {n} rows" in notes[0]
    torch.testing.assert_close(
        statistics.linear[0][-1, 2], model.module.modalities.only.linear.centre[-1].mean(dim=0)
    )
    truth = adata.obs["label_true"].astype(str).to_numpy()
    assert (model.predict(adata) == truth).mean() > 0.75


@pytest.mark.parametrize("n", [MIN_OWN_ROWS - 1, MIN_OWN_ROWS])
def test_without_members_few_rows_are_standardised_by_training(three, train, n):
    model = train(three[three.obs["domain"] != "domain_2"].copy(), scaling="domain", epochs=1)
    statistics, notes, prepared = extend(model, newcomers(three, n))
    if n < MIN_OWN_ROWS:
        assert "by the training cohorts" in notes[0]
        expected = model.module.modalities.only.standardiser.loc.mean(dim=0).numpy()
    else:
        assert "its own 20 rows" in notes[0]
        expected = np.asarray(prepared.X).mean(axis=0)
    np.testing.assert_allclose(statistics.network[0][2].numpy(), expected, atol=1e-4)


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
    assert ["its 50 rows" in notes[0], "its 10 rows" in notes[1]] == [True, True]


def test_constant_genes_of_a_new_cohort(model, three):
    adata = newcomers(three, 40)
    adata.X[:, :5] = 1.5
    statistics, _, _ = extend(model, adata)
    torch.testing.assert_close(statistics.linear[1][-1, 2, :5], torch.ones(5))
    assert (statistics.network[1][2, :5] > 0).all()
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
