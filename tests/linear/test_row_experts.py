"""Experts of single rows: what they read does not depend on other rows, scale or platform."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from domainvi.linear._row_experts import (
    correlation,
    discriminants,
    fit_row_experts,
    fit_shift,
    marker_profiles,
    row_ranks,
    shift_mixture,
)


@pytest.fixture(scope="module")
def fitted(planted):
    rows, truth = planted(domain_effect=1.0)
    return fit_row_experts(rows), rows, truth


def test_ranks_by_hand():
    x = np.array([[3.0, 1.0, 2.0, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(row_ranks(x), [[3.5 / 4, 0.5 / 4, 2 / 4, 2 / 4]])


def test_a_row_is_read_alone(fitted):
    experts, rows, _ = fitted
    together, _ = experts.predict(rows.x)
    alone, _ = experts.predict(rows.x[[7]])
    np.testing.assert_allclose(alone[0], together[7], atol=1e-6)


def test_an_increasing_change_of_values_changes_nothing(fitted):
    experts, rows, _ = fitted
    there = experts.probabilities(rows.x[~rows.in_source])[0]
    x = np.exp(rows.x[~rows.in_source].astype(np.float64) / 3).astype(np.float32)
    np.testing.assert_allclose(experts.probabilities(x)[0], there, atol=1e-3)


def test_the_source_is_classified(fitted):
    experts, rows, truth = fitted
    probs, _ = experts.predict(rows.x[rows.in_source])
    assert (probs.argmax(axis=1) == truth[rows.in_source]).mean() > 0.95
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)


def test_genes_that_were_not_measured_do_not_matter(fitted):
    experts, rows, truth = fitted
    measured = np.arange(rows.x.shape[1]) >= 20
    part = experts.with_genes(measured)
    x = rows.x[rows.in_source]
    other = np.where(measured, x, 1e6).astype(np.float32)
    np.testing.assert_array_equal(part.probabilities(x), part.probabilities(other))
    assert (part.probabilities(x)[0].argmax(axis=1) == truth[rows.in_source]).mean() > 0.9


def test_a_class_that_the_source_lacks_gets_nothing(planted):
    rows, _ = planted()
    fewer = replace(rows, label=np.where(rows.label == 3, -1, rows.label))
    experts = fit_row_experts(fewer)
    assert experts.present.tolist() == [True, True, True, False]
    assert experts.probabilities(rows.x)[0].max(axis=0)[3] < 0.05


def test_correlation_is_pearsons_of_ranks(fitted):
    experts, rows, _ = fitted
    ranks = row_ranks(rows.x[:3])
    used = experts.profile.any(axis=1)
    found = correlation(ranks, experts.profile)
    expected = np.corrcoef(ranks[0, used], experts.profile[used, 2])[0, 1]
    assert found[0, 2] == pytest.approx(expected, abs=1e-6)
    whole = correlation(ranks[:1], row_ranks(rows.x[5:6]).T.astype(float))
    assert whole[0, 0] == pytest.approx(spearmanr(rows.x[0], rows.x[5]).statistic, abs=1e-5)


def test_markers_are_above_in_one_class_of_a_pair():
    mean = np.zeros((2, 6))
    mean[0, 1], mean[1, 4] = 0.5, 0.3
    found = marker_profiles(mean, np.array([True, True]))
    assert np.flatnonzero(found.any(axis=1)).tolist() == [1, 4]


def test_discriminants_have_unit_variance_within_classes():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], 400)
    features = rng.normal(size=(1200, 4)) * [3, 1, 1, 0.5]
    features[:, 0] += 10 * label
    place = features @ discriminants(features, label, np.eye(4))
    assert place.shape == (1200, 2)
    spread = np.mean([place[label == c].var(axis=0) for c in range(3)])
    # The ridge adds .3 of the mean variance, so that it is below one.
    assert 0.4 < spread < 1


@pytest.mark.parametrize("mix", [[0.25] * 4, [1, 0, 0, 0], [0.1, 0, 0.9, 0]])
def test_one_shift_is_told_from_a_change_of_composition(mix):
    rng = np.random.default_rng(1)
    position = np.eye(4) * 6
    truth = rng.choice(4, 300, p=np.array(mix) / np.sum(mix))
    place = position[truth] + np.array([9.0, -4.0, 2.0, 0.0]) + rng.normal(size=(300, 4))
    # Experts that are right more often than not are all that tells one class from another.
    q = np.full((300, 4), 0.15)
    said = np.where(rng.random(300) < 0.6, truth, rng.integers(0, 4, 300))
    q[np.arange(300), said] = 0.55
    found = shift_mixture(place, position, q, np.ones(4, dtype=bool))
    assert (found.argmax(axis=1) == truth).mean() > 0.97
    np.testing.assert_allclose(found.mean(axis=0), np.bincount(truth, minlength=4) / 300, atol=0.03)


def test_ranks_of_some_rows(rng):
    x = rng.normal(size=(600, 5)).astype(np.float32)
    some = np.arange(3, 600, 2)
    np.testing.assert_array_equal(row_ranks(x, some), row_ranks(x)[some])


@pytest.mark.parametrize("n_genes", [12, 400])
def test_markers_are_the_first_of_those_that_tie(rng, n_genes):
    mean_rank = rng.integers(4, size=(6, n_genes)) / 4
    n, expected = round(500 * (2 / 3) ** np.log2(6)), np.zeros(n_genes, dtype=bool)
    for a in range(6):
        for b in range(6):
            difference = mean_rank[a] - mean_rank[b]
            best = np.argsort(-difference, kind="stable")[:n]
            expected[best[difference[best] > 0]] = True
    found = marker_profiles(mean_rank, np.ones(6, dtype=bool))
    np.testing.assert_array_equal(found, np.where(expected[:, None], mean_rank.T, 0))


def test_a_step_of_the_mixture_is_bayes_rule(rng, monkeypatch):
    monkeypatch.setattr("domainvi.linear._row_experts.N_STEPS", 1)
    place, position, shift = rng.normal(size=(50, 3)), rng.normal(size=(4, 3)), rng.normal(size=3)
    present = np.array([True, True, False, True])
    evidence = np.where(present, np.log(rng.dirichlet(np.ones(4), size=50)), -np.inf)
    score, posterior, _ = fit_shift(place, position, evidence, shift, present)
    squared = np.square(place[:, None] - position - shift).sum(axis=2)
    joint = np.exp(evidence - squared / 2 + np.square(place).sum(axis=1)[:, None] / 2) / 3
    np.testing.assert_allclose(score, np.log(joint.sum(axis=1)).mean())
    np.testing.assert_allclose(posterior, joint / joint.sum(axis=1, keepdims=True))


def test_directions_that_no_class_uses_change_nothing(rng):
    place, position = rng.normal(size=(50, 3)), rng.normal(size=(4, 3))
    probs, present = rng.dirichlet(np.ones(4), size=50), np.ones(4, dtype=bool)
    wide = (np.pad(values, ((0, 0), (0, 5))) for values in (place, position))
    found, same = (shift_mixture(*v, probs, present) for v in ((place, position), wide))
    np.testing.assert_allclose(found, same)
