"""The composition of a cohort: its shift by hand, and right labels whatever a cohort is made of."""

from dataclasses import replace

import numpy as np
import pytest

from domainvi.linear import ClassMoments, TrainingRows, consensus, fit_linear_ensemble
from domainvi.linear._composition import class_moments, composition_statistics

CLASSES = ClassMoments(np.array([[-1.0], [1.0]]), np.array([0.25]), np.array([0.5, 0.5]))


def column(*values):
    return np.array(values, dtype=np.float32)[:, None]


def test_a_cohort_of_one_class_is_centred_beside_it():
    x, q = column(9.5, 10.5), np.array([[0.0, 1.0]] * 2)
    centre, scale = CLASSES.standardise_to(x, q)
    # Class 1 is at 1 in the source and at 10 here, so the middle of both classes is at 9.
    np.testing.assert_allclose(centre, [9.0])
    # Variance within is .25, as in the source, and that between is 1.
    np.testing.assert_allclose(scale, [np.sqrt(1.25)], rtol=1e-6)


def test_rows_of_which_nothing_is_known_keep_their_mean():
    x, q = column(2.0, 4.0, 6.0), np.full((3, 2), 0.5)
    np.testing.assert_allclose(CLASSES.standardise_to(x, q)[0], [4.0])


def test_the_scale_follows_the_unit_of_the_cohort():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 5000)
    x = (2 * truth - 1 + rng.normal(0, 0.5, 5000)).astype(np.float32)[:, None]
    centre, scale = CLASSES.standardise_to(x, np.eye(2)[truth])
    np.testing.assert_allclose(centre, [0], atol=0.02)
    np.testing.assert_allclose(scale, [np.sqrt(1.25)], rtol=0.03)


def test_one_row_goes_to_where_its_class_is():
    centre, _ = CLASSES.standardise_to(column(7.0), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(7.0 - centre, [-1.0])


def test_class_means_are_free_of_the_shifts_of_source_domains():
    # Domain 1 is domain 0 moved by 4, with other shares of the classes.
    label = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    domain = np.repeat([0, 1], 4)
    x = (np.where(label, 1.0, -1.0) + 4 * domain).astype(np.float32)[:, None]
    rows = TrainingRows(x, domain, label, np.array([True, True]), 2)
    found = class_moments(rows, np.array([0.5, 0.5]))
    assert found.mean[1, 0] - found.mean[0, 0] == pytest.approx(2, abs=0.3)
    one = class_moments(replace(rows, is_source=np.array([True, False])), np.array([0.5, 0.5]))
    np.testing.assert_allclose(one.mean.ravel(), [-1, 1])


def test_labels_are_believed_before_probabilities():
    rows = TrainingRows(
        column(-1, 1, 4, 6),
        np.array([0, 0, 1, 1]),
        np.array([0, 1, 0, 1]),
        np.array([True, False]),
        2,
    )
    lied = np.eye(2)[[1, 0, 1, 0]]
    found = composition_statistics(rows, lied, CLASSES)
    np.testing.assert_allclose(found.centre.ravel(), [0, 5])


def test_consensus_by_hand():
    own = np.array([[0.9, 0.1], [0.1, 0.9], [0.8, 0.2], [0.2, 0.8]])
    row_wise, mixture = np.tile([0.3, 0.7], (4, 1)), np.tile([0.0, 1.0], (4, 1))
    p, share = consensus([own, own], own, own, row_wise, mixture, 1.0)
    # Of the members half of the rows are of either class, of the experts .3 and .7.
    weight = 0.85**2
    theirs = (1 - weight) * (row_wise + 0.2 * (row_wise + mixture) / 2)
    total = weight + (1 - weight) * 1.2
    np.testing.assert_allclose(p, (weight * own + theirs) / total)
    assert share == pytest.approx((1 - weight) * 1.2 / total)
    same = np.tile([0.5, 0.5], (4, 1))
    assert consensus([own, own], own, own, same, same, 1.0)[1] == pytest.approx(1 - weight)
    p, share = consensus([own, own], own[::-1], own, row_wise, row_wise, 1.0)
    assert share == 1.0
    np.testing.assert_allclose(p, row_wise)


@pytest.mark.parametrize("effect", [0.25, 0.5])
def test_a_target_of_one_class_is_not_torn_apart(planted, effect):
    rows, truth = planted(domain_effect=effect)
    for c in range(4):
        keep = rows.in_source | (truth == c)
        part = TrainingRows(
            rows.x[keep], rows.domain[keep], rows.label[keep], rows.is_source, rows.n_classes
        )
        fit = fit_linear_ensemble(part)
        found = fit.probs.argmax(axis=1)[~part.in_source]
        assert (found == c).mean() > 0.9
        assert fit.row_wise_share > 0.5
