"""Linear classifiers on components: fits and weights."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import cohen_kappa_score

from domainvi.linear import (
    TrainingRows,
    components,
    domain_statistics,
    logistic,
    source_statistics,
    standardise,
)
from domainvi.linear._members import View, agreement, average, balanced_weights


def rows_of(label, domain, n_classes=2):
    x = np.zeros((len(label), 1), dtype=np.float32)
    return TrainingRows(x, np.array(domain), np.array(label), np.array([True, False]), n_classes)


def test_components_are_centred_in_units_of_the_first(rng):
    s = rng.normal(size=(50, 6)) * np.array([10, 3, 1, 1, 1, 1]) + 4
    scores, basis, mean = components(s.copy())
    assert basis.shape == (6, 6)
    np.testing.assert_allclose(scores, (s - mean) @ basis)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-12)
    spread = scores.std(axis=0, ddof=1)
    assert spread[0] == pytest.approx(1)
    assert (np.diff(spread) <= 1e-12).all()
    # Not whitened: distances between rows are kept up to one factor.
    full = np.linalg.norm(s[0] - s[1]) / np.linalg.norm(s[2] - s[3])
    kept = np.linalg.norm(scores[0] - scores[1]) / np.linalg.norm(scores[2] - scores[3])
    assert kept == pytest.approx(full)


@pytest.mark.parametrize(
    ("shape", "rank", "k"), [((3, 9), 100, 2), ((9, 3), 100, 3), ((9, 8), 2, 2)]
)
def test_the_number_of_components(rng, shape, rank, k):
    assert components(rng.normal(size=shape), rank)[0].shape == (shape[0], k)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_separates_what_is_separable(rng, n_classes):
    label = np.arange(90) % n_classes
    features = rng.normal(scale=0.1, size=(90, 2)) + 3 * np.eye(n_classes, 2)[label]
    coef, intercept = logistic(features, label, np.ones(90), n_classes)
    probs = softmax(features @ coef + intercept, axis=1)
    np.testing.assert_array_equal(probs.argmax(axis=1), label)


def test_logistic_leaves_rows_without_weight_out(rng):
    features = rng.normal(size=(40, 3))
    label, weight = np.arange(40) % 2, np.r_[np.ones(20), np.zeros(20)]
    other = np.where(weight > 0, label, 1 - label)
    for a, b in zip(
        logistic(features, label, weight, 2), logistic(features, other, weight, 2), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_weights_count_like_repeated_rows(rng):
    features, label = rng.normal(size=(12, 2)), np.arange(12) % 3
    weight = np.r_[np.full(6, 2.0), np.ones(6)]
    repeated = np.r_[np.arange(12), np.arange(6)]
    a = logistic(features, label, weight, 3)
    b = logistic(features[repeated], label[repeated], np.ones(18), 3)
    p, q = (softmax(features @ c + i, axis=1) for c, i in (a, b))
    np.testing.assert_allclose(p, q, atol=2e-3)


def test_classes_without_rows_get_next_to_nothing(rng):
    features, label = rng.normal(size=(30, 2)), np.arange(30) % 2 + 1
    coef, intercept = logistic(features, label, np.ones(30), 5)
    assert coef.shape == (2, 5)
    probs = softmax(features @ coef + intercept, axis=1)
    assert probs[:, [0, 3, 4]].max() < 1e-6


def test_a_single_class_is_certain(rng):
    features = rng.normal(size=(5, 2))
    coef, intercept = logistic(features, np.full(5, 2), np.ones(5), 3)
    probs = softmax(features @ coef + intercept, axis=1)
    assert probs[:, 2].min() > 1 - 1e-6


def test_a_member_gives_the_probabilities_of_its_view(planted):
    rows, _ = planted()
    # By the source, so that the rows of the target are not centred.
    view = View(
        rows, source_statistics(rows), np.random.default_rng(0).uniform(0.1, 2, 120), weight=0.3
    )
    view.fit(rows.label, balanced_weights(rows, np.full(rows.n_classes, 0.5)))
    member = view.member()
    s = standardise(rows.x, rows.domain, member.statistics)
    np.testing.assert_allclose(
        softmax(s @ member.coef + member.intercept, axis=1), view.probs, atol=1e-5
    )
    assert member.weight == 0.3


def test_genes_of_weight_zero_have_no_effect(planted):
    rows, _ = planted()
    gene_weight = np.r_[np.zeros(60), np.ones(60)]
    view = View(rows, domain_statistics(rows), gene_weight)
    view.fit(rows.label, balanced_weights(rows, np.full(rows.n_classes, 0.5)))
    member = view.member()
    assert not member.coef[:60].any()
    assert member.coef[60:].any()


def test_balanced_weights_by_hand():
    rows = rows_of([0, 0, 0, 1, 0, 1, 1, -1], [0, 0, 0, 0, 1, 1, 1, 1])
    weight = balanced_weights(rows, np.full(2, 0.25))
    # Seven labelled rows: source 3/4 of them and target 1/4, either half to each class.
    expected = 7 * np.array([1 / 8, 1 / 8, 1 / 8, 3 / 8, 1 / 8, 1 / 16, 1 / 16, 0])
    np.testing.assert_allclose(weight, expected)


def test_labels_of_some_classes_in_a_target_leave_the_classes_balanced():
    rows = rows_of([0, 0, 1, 1, 0, 0, -1], [0, 0, 0, 0, 1, 1, 1])
    weight = balanced_weights(rows, np.array([0.5, 0.0]))
    np.testing.assert_allclose(weight, 6 * np.array([1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 8, 1 / 8, 0]))


def test_balanced_weights_without_the_target():
    rows = rows_of([0, 1, 1, 0], [0, 0, 0, 1])
    weight = balanced_weights(rows, np.full(2, 0.9), use_target=False)
    np.testing.assert_allclose(weight, [2, 1, 1, 0])
    nothing = balanced_weights(rows_of([0, 1, -1], [0, 0, 1]), np.full(2, 0.9))
    np.testing.assert_allclose(nothing, [1, 1, 0])


def test_agreement_is_cohens_kappa():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(4), size=(2, 200))
    q[:120] = p[:120]
    expected = cohen_kappa_score(p.argmax(axis=1), q.argmax(axis=1))
    assert agreement(p, q) == pytest.approx(expected)


def test_agreement_is_never_below_zero():
    one, other = np.eye(2)[[0, 1]], np.eye(2)[[1, 0]]
    assert (agreement(one, other), agreement(one, one)) == (0.0, 1.0)


def test_views_are_averaged_by_their_weights(planted):
    rows, _ = planted()
    views = {
        str(w): View(rows, domain_statistics(rows), np.ones(rows.x.shape[1]), w) for w in (1, 3)
    }
    for i, view in enumerate(views.values()):
        view.probs = np.full((5, 2), i)
    np.testing.assert_allclose(average(views), np.full((5, 2), 0.75))
