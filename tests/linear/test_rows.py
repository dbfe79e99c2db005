"""Rows of training: sources, draws, class support, properties."""

from dataclasses import replace

import numpy as np

from domainvi.linear import TrainingRows, class_support, source_domains, subsample


def codes(*values):
    return np.array(values, dtype=np.int64)


def test_domains_with_labels_on_half_of_their_rows_are_sources():
    domain, label = codes(0, 0, 0, 1, 1, 1, 2, 2), codes(0, 1, -1, 0, -1, -1, 1, -1)
    np.testing.assert_array_equal(source_domains(domain, label, 3), [True, False, True])


def test_when_none_reaches_half_the_one_with_most_labels_is_the_source():
    domain, label = codes(*[0] * 5, *[1] * 9), np.full(14, -1)
    label[[0, 5, 6, 7]] = 0
    np.testing.assert_array_equal(source_domains(domain, label, 2), [False, True])


def test_a_domain_without_rows_is_no_source():
    np.testing.assert_array_equal(source_domains(codes(0, 2), codes(1, -1), 3), [1, 0, 0])


def test_subsample_takes_all_when_there_are_few():
    np.testing.assert_array_equal(subsample(codes(0, 0, 1), codes(0, -1, 1), 0, limit=3), [0, 1, 2])


def test_subsample_keeps_the_shares_of_classes_within_domains():
    domain = np.repeat(codes(0, 1), 20_000)
    label = np.r_[np.zeros(19_000), np.ones(1000), np.zeros(10_000), np.ones(10_000)].astype(int)
    drawn = subsample(domain, label, seed=0, limit=4000)
    assert len(drawn) == len(set(drawn)) == 4000
    assert (np.diff(drawn) > 0).all()
    counts = np.bincount(2 * domain[drawn] + label[drawn])
    np.testing.assert_array_equal(counts, [1900, 100, 1000, 1000])
    np.testing.assert_array_equal(drawn, subsample(domain, label, seed=0, limit=4000))
    assert not np.array_equal(drawn, subsample(domain, label, seed=1, limit=4000))


def test_subsample_leaves_no_domain_out():
    rng = np.random.default_rng(0)
    domain = np.r_[rng.integers(0, 190, 48_000), np.arange(190, 200)]
    label = rng.integers(0, 30, len(domain))
    drawn = subsample(domain, label, seed=0, limit=6000)
    assert len(np.unique(domain[drawn])) == 200


def test_subsample_keeps_the_few_labelled_rows():
    domain = np.zeros(5000, dtype=np.int64)
    label = np.full(5000, -1)
    label[[10, 20, 30]] = codes(0, 1, 1)
    for seed in range(5):
        drawn = subsample(domain, label, seed, limit=50)
        assert {10, 20, 30} <= set(drawn)
        assert 50 <= len(drawn) <= 53


def test_subsample_keeps_a_small_domain():
    domain = np.r_[np.zeros(5000, dtype=np.int64), np.ones(5, dtype=np.int64)]
    for seed in range(5):
        drawn = subsample(domain, np.zeros(5005, dtype=np.int64), seed, limit=50)
        assert (domain[drawn] == 1).sum() == 5


def test_class_support_by_hand():
    expected = [[True, False, True], [False, True, False], [True, True, True]]
    support = class_support(codes(0, 0, 1, 1, 2), codes(0, 2, 1, 1, -1), 3, 3)
    np.testing.assert_array_equal(support, expected)


def test_properties_of_rows():
    truth, domain = np.tile([0, 1], 4), np.repeat([0, 1], 4)
    x = np.zeros((8, 1), dtype=np.float32)
    rows = TrainingRows(x, domain, np.where(domain == 0, truth, -1), np.array([True, False]), 2)
    assert rows.n_domains == 2
    np.testing.assert_array_equal(rows.labelled, np.repeat([True, False], 4))
    np.testing.assert_array_equal(rows.in_source, np.repeat([True, False], 4))
    assert not rows.partly_labelled.any()
    partly = replace(rows, label=np.array([0, 1, 0, 1, 0, -1, -1, -1]))
    np.testing.assert_array_equal(partly.partly_labelled, [False, True])
    np.testing.assert_allclose(partly.labels_per_class, [2, 0.5])
