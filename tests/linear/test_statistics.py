"""Centre and scale by domain, on rows whose answer is known."""

import numpy as np
import pytest

from domainvi.train import TrainingRows
from domainvi.train._tables import (
    domain_table,
    gene_weights,
    labelled_table,
    mix_table,
    moments,
    safe_scale,
    source_table,
    standardise,
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
    centre, scale = domain_table(rows)
    np.testing.assert_array_equal(scale, np.ones((2, 1)))
    assert not standardise(rows.x, rows.domain, (centre, scale)).any()


def test_standardise_is_by_domain_and_clipped():
    table = (np.array([[0.0], [10.0]]), np.array([[1.0], [2.0]]))
    x = np.array([[3.0], [14.0], [1e6]], dtype=np.float32)
    found = standardise(x, np.array([0, 1, 1]), table)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), [3, 2, 8])


def test_properties_of_rows(shifted):
    rows, _ = shifted
    assert rows.n_domains == 2
    np.testing.assert_array_equal(rows.labelled, np.repeat([True, False], 4))
    np.testing.assert_array_equal(rows.in_source, np.repeat([True, False], 4))
    np.testing.assert_array_equal(rows.one_hot[:2], np.eye(2))
    assert not rows.one_hot[4:].any()
    assert not rows.partly_labelled().any()
    partly = rows.with_label(np.array([0, 1, 0, 1, 0, -1, -1, -1]))
    np.testing.assert_array_equal(partly.partly_labelled(), [False, True])


def test_domain_and_source_tables(shifted):
    rows, _ = shifted
    centre, scale = domain_table(rows)
    np.testing.assert_allclose(centre.ravel(), [0, 10.5])
    np.testing.assert_allclose(scale.ravel(), [1, np.sqrt(0.75)])
    centre, scale = source_table(rows)
    np.testing.assert_allclose(centre.ravel(), [0, 0])
    np.testing.assert_allclose(scale.ravel(), [1, 1])


def test_mix_table_finds_the_balanced_centre(shifted):
    rows, truth = shifted
    centre, scale = mix_table(rows, np.eye(2)[truth], np.array([0.5, 0.5]))
    np.testing.assert_allclose(centre.ravel(), [0, 10], atol=1e-6)
    np.testing.assert_allclose(scale.ravel(), [1, 1], atol=1e-6)


def test_mix_table_goes_to_the_mix_asked_for(shifted):
    rows, truth = shifted
    centre, _ = mix_table(rows, np.eye(2)[truth], np.array([0.25, 0.75]))
    np.testing.assert_allclose(centre.ravel(), [0.5, 10.5], atol=1e-6)


def test_mix_table_trusts_labels_over_predictions(shifted):
    rows, _ = shifted
    always_0 = np.tile([1.0, 0.0], (8, 1))
    centre, _ = mix_table(rows, always_0, np.array([0.25, 0.75]))
    # The source is labelled; the target's predictions leave its rows with equal weights.
    np.testing.assert_allclose(centre.ravel(), [0.5, 10.5], atol=1e-6)


def test_mix_table_bounds_the_weights():
    truth = np.r_[np.zeros(99, dtype=int), 1]
    x = np.where(truth, 1.0, -1.0)
    rows = build(x, np.zeros(100, dtype=int), np.full(100, -1), (True,))
    centre, _ = mix_table(rows, np.eye(2)[truth], np.array([0.5, 0.5]), limit=5.0)
    # Class 1 would need the weight 50 and gets 5; class 0 keeps 50 / 99.
    assert centre[0, 0] == pytest.approx((5 - 50) / (5 + 50), abs=1e-5)


def test_mix_table_does_not_shrink_the_scale_away():
    x = np.r_[np.zeros(9), 10.0]
    rows = build(x, np.zeros(10, dtype=int), np.full(10, -1), (True,))
    soft = np.eye(2)[np.r_[np.zeros(9, dtype=int), 1]]
    _, scale = mix_table(rows, soft, np.array([1.0, 0.0]), limit=1e9)
    assert scale[0, 0] >= 0.3 * x.std() - 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_mix_table_undoes_a_shift_of_the_class_mix(planted, seed):
    rows, truth = planted(class_mix_shift=0.8, domain_effect=0.0, dispersion=0.0, seed=seed)
    plain = domain_table(rows)[0]
    mixed = mix_table(rows, np.eye(4)[truth], np.full(4, 0.25))[0]
    before, after = (np.abs(c[0] - c[1]).mean() for c in (plain, mixed))
    assert after < 0.5 * before


def test_labelled_table_by_hand():
    x = [0.0, 2.0, 4.0, 10.0, 10.0, 14.0, 100.0]
    rows = build(x, [0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 0, 0, 1, -1])
    centre, scale = labelled_table(rows, domain_table(rows))
    # Classes count the same: (1 + 4) / 2 and (10 + 14) / 2.
    np.testing.assert_allclose(centre.ravel(), [2.5, 12.0])
    source = np.sqrt(((2.5**2 + 0.5**2) / 2 + 1.5**2) / 2)
    target = np.sqrt((4 + np.var(x[3:])) / 2)
    np.testing.assert_allclose(scale.ravel(), [source, target], rtol=1e-6)


def test_labelled_table_keeps_the_fallback_for_fewer_than_two_labels():
    rows = build([0.0, 2.0, 10.0, 20.0], [0, 0, 1, 1], [0, 1, 0, -1])
    fallback = (np.array([[5.0], [6.0]]), np.array([[7.0], [8.0]]))
    centre, scale = labelled_table(rows, fallback)
    assert (centre[1, 0], scale[1, 0]) == (6, 8)
    assert centre[0, 0] == 1
    assert (fallback[0][0, 0], fallback[1][0, 0]) == (5, 7)


def test_gene_weights_find_planted_genes():
    rng = np.random.default_rng(0)
    domain, truth = np.repeat([0, 1], 100), np.tile([0, 1], 100)
    x = rng.normal(size=(200, 30))
    x[:, :3] += 3 * truth[:, None]
    x[:, 3:6] += 5 * domain[:, None]
    weight = gene_weights(build(x, domain, truth, (True, True)))
    assert weight[:3].min() > 1
    assert weight[3:].max() < 0.5 * weight[:3].min()
    assert np.median(weight[3:]) < 0.05


def test_gene_weights_by_hand():
    # Class means -1 and 1 and a variance of 3 within: e = 1 / 4 before correction by 2 / n.
    x = np.r_[-1 + np.sqrt(3) * np.tile([-1, 1], 50), 1 + np.sqrt(3) * np.tile([-1, 1], 50)]
    rows = build(x, np.zeros(200, dtype=int), np.repeat([0, 1], 100), (True,))
    e = 0.25 - 2 / 200
    assert gene_weights(rows)[0] == pytest.approx(np.sqrt(e / (1.1 - e)), abs=1e-3)


def test_gene_weights_ignore_a_difference_between_domains():
    x = np.r_[np.zeros(20), np.ones(20)] + np.tile([0.0, 0.1], 20)
    rows = build(x, np.repeat([0, 1], 20), np.tile([0, 0, 1, 1], 10), (True, True))
    assert gene_weights(rows)[0] < 0.05


def test_gene_weights_without_classes_to_compare_are_ones():
    rows = build([0.0, 1, 2, 3], [0, 0, 1, 1], [0, 1, -1, -1])
    np.testing.assert_array_equal(gene_weights(rows), [1])


def test_gene_weights_of_constant_genes_are_finite():
    rows = build(np.zeros((8, 2)), np.zeros(8, dtype=int), [0, 1] * 4, (True,))
    assert np.isfinite(gene_weights(rows)).all()


def test_a_domain_without_a_row_is_standardised_by_all_rows():
    rows = build([1.0, 3, 1, 3], [0, 0, 2, 2], [0, 1, -1, -1], is_source=(True, False, False))
    soft = np.full((4, 2), 0.5)
    for centre, scale in (domain_table(rows), mix_table(rows, soft, np.array([0.5, 0.5]))):
        np.testing.assert_allclose(centre, [[2], [2], [2]])
        np.testing.assert_allclose(scale, [[1], [1], [1]])
