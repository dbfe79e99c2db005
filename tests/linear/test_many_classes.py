"""Linear members of many classes: rows, directions of rare classes, and the solver."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import f1_score

from domainvi.linear import TrainingRows, fit_linear_ensemble, logistic, rows_for, subsample
from domainvi.linear._held_out import Lesson
from domainvi.linear._many_classes import class_directions, components_and_markers
from domainvi.linear._members import View, balanced_weights
from domainvi.linear._statistics import domain_statistics, standardise


def atlas(n_rows=8_000, n_classes=40, n_genes=200, n_domains=2, seed=0):
    """Classes with a long tail and four marker genes each; half of the domains have no labels."""
    rng = np.random.default_rng(seed)
    share = np.arange(1.0, n_classes + 1) ** -1.5
    truth = rng.choice(n_classes, n_rows, p=share / share.sum())
    domain = rng.integers(n_domains, size=n_rows)
    x = rng.normal(size=(n_rows, n_genes)) + rng.normal(size=(n_domains, n_genes))[domain]
    x += rng.normal(size=(n_rows, 20)) @ rng.normal(size=(20, n_genes))
    for c in range(n_classes):
        genes = rng.choice(n_genes, 4, replace=False)
        x[np.ix_(truth == c, genes)] += 5
    label = np.where(domain % 2 == 0, truth, -1)
    is_source = np.arange(n_domains) % 2 == 0
    return TrainingRows(x.astype(np.float32), domain, label, is_source, n_classes), truth


def part_of(rows, drawn):
    arrays = rows.x[drawn], rows.domain[drawn], rows.label[drawn]
    return TrainingRows(*arrays, rows.is_source, rows.n_classes)


@pytest.mark.parametrize(
    ("n_classes", "limit", "of_class"),
    [(2, 6_000, 0), (25, 6_000, 0), (26, 6_000, 120), (100, 12_000, 120), (800, 24_000, 30)],
)
def test_rows_grow_with_classes(n_classes, limit, of_class):
    assert rows_for(n_classes) == (limit, of_class)


def test_each_class_has_the_rows_that_it_needs():
    rows, _ = atlas(20_000, n_genes=4)
    drawn = subsample(rows.domain, rows.label, 0, *rows_for(rows.n_classes))
    count, kept = (np.bincount(label[label >= 0]) for label in (rows.label, rows.label[drawn]))
    assert (kept >= np.minimum(count, 120)).all()
    assert 6_000 <= len(drawn) < 6_000 + 120 * rows.n_classes
    assert np.unique(drawn).tolist() == drawn.tolist()


@pytest.mark.slow
def test_rare_classes_are_found_where_6000_rows_lose_them():
    rows, truth = atlas(n_genes=400)
    scores = []
    for few in (True, False):
        arguments = (5_500,) if few else rows_for(rows.n_classes)
        drawn = subsample(rows.domain, rows.label, 0, *arguments)
        fit, target = fit_linear_ensemble(part_of(rows, drawn)), ~rows.in_source[drawn]
        found, names = fit.probs.argmax(axis=1), range(20, 40)
        f1 = f1_score(truth[drawn][target], found[target], average=None, labels=names)
        scores.append(f1.mean())
    assert scores[1] > scores[0] + 0.05


def test_directions_leave_out_what_chance_explains(rng):
    centres = rng.normal(size=(3, 50)) / np.sqrt([[20], [180], [20]])
    centres[0, :3] += 3
    centres[1, 3:5] -= 1
    centres[2] = 0
    directions = class_directions(centres, np.array([20, 180, 20]), np.ones(50))
    assert directions.shape == (50, 2)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=0), 1)
    assert np.linalg.norm(directions[:3, 0]) > 0.95
    assert (directions[3:5, 1] < -0.5).all()


def test_markers_join_the_components(rng):
    rows, _ = atlas(6_500, n_genes=60)
    x = (rng.normal(size=(6_500, 3)) @ (5 * rng.normal(size=(3, 60)))).astype(np.float32)
    x += rng.normal(size=x.shape).astype(np.float32)
    x[:10, :2] += 30
    label = np.r_[np.zeros(10, dtype=int), np.full(6_490, -1)]
    rows = replace(rows, x=x, label=label, domain=0 * label)
    statistics = domain_statistics(rows)
    scores, basis, mean = components_and_markers(rows, statistics, np.ones(60), rank=3)
    gram = basis.T @ basis
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(4), atol=1e-9)
    s = standardise(rows.x, rows.domain, statistics, 1.0)
    np.testing.assert_allclose(scores, (s - mean) @ basis, atol=1e-4)
    marker = np.abs(scores[:, 3])
    assert marker[:10].min() > marker[10:].max()


def test_the_solver_is_that_of_scikit_learn(rng):
    label = rng.integers(30, size=2_000)
    centre = rng.normal(size=(30, 12))
    features = centre[label] + rng.normal(size=(2_000, 12))
    weight = rng.uniform(0, 2, size=2_000) * (rng.random(2_000) < 0.9)
    # A class that no row has.
    old, new = (
        logistic(features.astype(kind), label, weight, 31) for kind in (np.float64, np.float32)
    )
    p, q = (softmax(features @ coef + intercept, axis=1) for coef, intercept in (old, new))
    assert (p.argmax(axis=1) == q.argmax(axis=1)).mean() > 0.99
    assert np.abs(p - q).mean() < 1e-3
    costs = [
        -weight @ np.log(probs[np.arange(2_000), label]) + np.square(coef).sum() / 2
        for probs, (coef, _) in ((p, old), (q, new))
    ]
    assert costs[1] < costs[0] * 1.0001
    assert q[:, 30].max() < 1e-6


def test_a_fit_goes_on_from_the_last_one():
    rows, _ = atlas(6_500, n_genes=60)
    view = View(rows, domain_statistics(rows), np.ones(60))
    weight = balanced_weights(rows, np.zeros(rows.n_classes))
    view.fit(rows.label, weight)
    coef, intercept = view.start(*view.solution)
    np.testing.assert_allclose(coef, view.coef, atol=1e-6)
    np.testing.assert_allclose(intercept, view.intercept, atol=1e-6)
    before = view.probs
    view.fit(rows.label, weight)
    assert np.abs(view.probs - before).max() < 0.05


def test_few_rows_of_many_classes_are_fitted_as_ever():
    rows, _ = atlas(2_000, n_genes=60)
    view = View(rows, domain_statistics(rows), np.ones(60))
    assert view.features.dtype == np.float64
    assert view.features.shape[1] == 60


def test_of_many_classes_each_counts_by_the_root_of_its_rows():
    label = np.r_[np.zeros(90, dtype=int), np.ones(10, dtype=int)]
    for n_classes, ratio in ((25, 1), (26, 3)):
        rows = TrainingRows(np.zeros((100, 1)), 0 * label, label, np.array([True]), n_classes)
        weight = balanced_weights(rows, np.zeros(rows.n_classes))
        assert weight[:90].sum() / weight[90:].sum() == pytest.approx(ratio)
        assert weight.sum() == pytest.approx(100)


def test_a_row_of_two_classes_is_as_good_as_two_rows(rng):
    label, second = rng.integers(30, size=(2, 2_000))
    features = (rng.normal(size=(30, 12))[label] + rng.normal(size=(2_000, 12))).astype(np.float32)
    weight, other = rng.uniform(0, 2, size=(2, 2_000))
    other[rng.random(2_000) < 0.5] = 0
    together = logistic(features, label, weight, 30, second=(second, other))
    some = np.flatnonzero(other)
    apart = logistic(
        np.concatenate([features, features[some]]),
        np.concatenate([label, second[some]]),
        np.concatenate([weight, other[some]]),
        30,
    )
    p, q = (softmax(features @ coef + intercept, axis=1) for coef, intercept in (together, apart))
    assert np.abs(p - q).max() < 0.02
    assert (p.argmax(axis=1) == q.argmax(axis=1)).mean() > 0.99


def test_labels_of_many_classes_that_were_held_out_are_not_known(rng):
    """A fit to all labels must not be the start of one that knows some of them."""
    label = rng.integers(30, size=6_500)
    x = rng.normal(size=(6_500, 60)).astype(np.float32)
    rows = TrainingRows(x, np.zeros(6_500, dtype=int), label, np.array([True]), 30)
    fit = fit_linear_ensemble(rows)
    told = ~np.isnan(fit.held_out[:, 0])
    known, held = (np.log(p[told, label[told]]).mean() for p in (fit.probs, fit.held_out))
    assert held < np.log(1 / 30) < known


def test_axes_are_those_of_the_covariance(rng):
    rows, _ = atlas(6_500, n_genes=300)
    statistics = domain_statistics(rows)
    found = components_and_markers(rows, statistics, np.ones(300), rank=20)[1][:, :20]
    s = standardise(rows.x[::2], rows.domain[::2], statistics, 1.0)
    axes = np.linalg.eigh(np.cov(s.T))[1][:, ::-1][:, :20]
    # Cosine of the largest angle between both spaces.
    cosine = np.linalg.svd(np.linalg.qr(found)[0].T @ axes)[1]
    assert cosine.min() > 0.99


def test_the_runner_up_is_taught_as_far_as_it_is_as_likely():
    rows, _ = atlas(1_000, n_genes=4)
    probs = np.random.default_rng(1).dirichlet(np.ones(40), size=1_000)
    probs[:2] = 1 / 40
    free = ~rows.labelled
    lesson = Lesson.of_probabilities(probs, rows, free)
    order = np.argsort(-probs, axis=1, kind="stable")
    first, second = np.sort(probs, axis=1)[:, :-3:-1].T
    assert lesson.label[free].tolist() == order[free, 0].tolist()
    assert lesson.second[free].tolist() == order[free, 1].tolist()
    share = lesson.second_weight / np.where(free, lesson.weight + lesson.second_weight, 1)
    np.testing.assert_allclose(share, np.where(free, second / (first + second), 0))
