"""Centre and scale by domain, on rows whose answer is known."""

import numpy as np
import pytest

from domainvi.linear import (
    ScalingStatistics,
    TrainingRows,
    domain_statistics,
    source_statistics,
    standardise,
)
from domainvi.linear._statistics import (
    class_prior_statistics,
    labelled_statistics,
    moments,
    safe_scale,
)


def build(x, domain, label, is_source=(True, False), n_classes=2):
    x = np.asarray(x, dtype=np.float32)
    x = x[:, None] if x.ndim == 1 else x
    return TrainingRows(x, np.array(domain), np.array(label), np.array(is_source), n_classes)


@pytest.fixture
def shifted():
    """Classes at -1 and 1; the target is shifted by 10 and has three of four rows in class 1."""
    truth = np.array([0, 1, 0, 1, 0, 1, 1, 1])
    domain = np.repeat([0, 1], 4)
    x = np.where(truth, 1.0, -1.0) + 10 * domain
    return build(x, domain, np.where(domain == 0, truth, -1)), truth


def test_moments_by_hand():
    x = np.array([[1.0, 0.0], [3.0, 4.0]], dtype=np.float32)
    mean, scale = moments(x)
    np.testing.assert_allclose(mean, [2, 2])
    np.testing.assert_allclose(scale, [1, 2])
    mean, scale = moments(x, np.array([3.0, 1.0]))
    np.testing.assert_allclose(mean, [1.5, 1])
    np.testing.assert_allclose(scale, [np.sqrt(0.75), np.sqrt(3)])


def test_moments_of_large_values_are_exact():
    x = np.array([[1e4], [1e4 + 1], [1e4 + 2]], dtype=np.float32)
    np.testing.assert_allclose(moments(x)[1], [np.sqrt(2 / 3)], rtol=1e-6)


def test_constant_genes_get_scale_one():
    np.testing.assert_array_equal(safe_scale(np.array([0.0, 1e-9, 0.5])), [1, 1, 0.5])
    rows = build([3.0, 3, 3, 3], [0, 0, 1, 1], [0, 1, -1, -1])
    centre, scale = domain_statistics(rows)
    np.testing.assert_array_equal(scale, np.ones((2, 1)))
    assert not standardise(rows.x, rows.domain, (centre, scale)).any()


def test_standardise_is_by_domain_and_clipped():
    statistics = ScalingStatistics(np.array([[0.0], [10.0]]), np.array([[1.0], [2.0]]))
    x = np.array([[3.0], [14.0], [1e6]], dtype=np.float32)
    found = standardise(x, np.array([0, 1, 1]), statistics)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), [3, 2, 8])


def test_domain_and_source_statistics(shifted):
    rows, _ = shifted
    centre, scale = domain_statistics(rows)
    np.testing.assert_allclose(centre.ravel(), [0, 10.5])
    np.testing.assert_allclose(scale.ravel(), [1, np.sqrt(0.75)])
    centre, scale = source_statistics(rows)
    np.testing.assert_allclose(centre.ravel(), [0, 0])
    np.testing.assert_allclose(scale.ravel(), [1, 1])


def test_the_class_prior_gives_the_balanced_centre(shifted):
    rows, truth = shifted
    centre, scale = class_prior_statistics(rows, np.eye(2)[truth], np.array([0.5, 0.5]))
    np.testing.assert_allclose(centre.ravel(), [0, 10], atol=1e-6)
    np.testing.assert_allclose(scale.ravel(), [1, 1], atol=1e-6)


def test_the_class_prior_asked_for_is_reached(shifted):
    rows, truth = shifted
    centre, _ = class_prior_statistics(rows, np.eye(2)[truth], np.array([0.25, 0.75]))
    np.testing.assert_allclose(centre.ravel(), [0.5, 10.5], atol=1e-6)


def test_labels_are_trusted_over_predictions(shifted):
    rows, _ = shifted
    always_0 = np.tile([1.0, 0.0], (8, 1))
    centre, _ = class_prior_statistics(rows, always_0, np.array([0.25, 0.75]))
    # The source is labelled; the target's predictions leave its rows with equal weights.
    np.testing.assert_allclose(centre.ravel(), [0.5, 10.5], atol=1e-6)


def test_weights_of_classes_are_bounded():
    truth = np.r_[np.zeros(99, dtype=int), 1]
    x = np.where(truth, 1.0, -1.0)
    rows = build(x, np.zeros(100, dtype=int), np.full(100, -1), (True,))
    centre, _ = class_prior_statistics(rows, np.eye(2)[truth], np.array([0.5, 0.5]))
    # Class 1 would need the weight 50 and gets 5; class 0 keeps 50 / 99.
    assert centre[0, 0] == pytest.approx((5 - 50) / (5 + 50), abs=1e-5)


def test_a_class_prior_does_not_shrink_the_scale_away():
    x = np.r_[np.zeros(9), 10.0]
    rows = build(x, np.zeros(10, dtype=int), np.full(10, -1), (True,))
    soft = np.eye(2)[np.r_[np.zeros(9, dtype=int), 1]]
    _, scale = class_prior_statistics(rows, soft, np.array([1.0, 0.0]))
    assert scale[0, 0] >= 0.3 * x.std() - 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_a_shift_of_class_proportions_is_undone(planted, seed):
    rows, truth = planted(class_mix_shift=0.8, domain_effect=0.0, dispersion=0.0, seed=seed)
    plain = domain_statistics(rows)[0]
    mixed = class_prior_statistics(rows, np.eye(4)[truth], np.full(4, 0.25))[0]
    before, after = (np.abs(c[0] - c[1]).mean() for c in (plain, mixed))
    assert after < 0.5 * before


def test_labelled_statistics_by_hand():
    x = [0.0, 2.0, 4.0, 10.0, 10.0, 14.0, 100.0]
    rows = build(x, [0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 0, 0, 1, -1])
    centre, scale = labelled_statistics(rows, domain_statistics(rows))
    # Classes count the same: (1 + 4) / 2 and (10 + 14) / 2.
    np.testing.assert_allclose(centre.ravel(), [2.5, 12.0])
    source = np.sqrt(((2.5**2 + 0.5**2) / 2 + 1.5**2) / 2)
    target = np.sqrt((4 + np.var(x[3:])) / 2)
    np.testing.assert_allclose(scale.ravel(), [source, target], rtol=1e-6)


def test_labelled_statistics_keep_the_fallback_for_fewer_than_two_labels():
    rows = build([0.0, 2.0, 10.0, 20.0], [0, 0, 1, 1], [0, 1, 0, -1])
    fallback = ScalingStatistics(np.array([[5.0], [6.0]]), np.array([[7.0], [8.0]]))
    centre, scale = labelled_statistics(rows, fallback)
    assert (centre[1, 0], scale[1, 0]) == (6, 8)
    assert centre[0, 0] == 1
    assert (fallback[0][0, 0], fallback[1][0, 0]) == (5, 7)


def test_a_domain_without_a_row_is_standardised_by_all_rows():
    rows = build([1.0, 3, 1, 3], [0, 0, 2, 2], [0, 1, -1, -1], is_source=(True, False, False))
    soft = np.full((4, 2), 0.5)
    for centre, scale in (
        domain_statistics(rows),
        class_prior_statistics(rows, soft, np.array([0.5, 0.5])),
    ):
        np.testing.assert_allclose(centre, [[2], [2], [2]])
        np.testing.assert_allclose(scale, [[1], [1], [1]])
