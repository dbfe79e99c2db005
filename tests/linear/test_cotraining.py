"""Co-training on planted cohorts: classes found, weights to the right members."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from domainvi.linear import TrainingRows, domain_statistics, fit_linear_ensemble
from domainvi.linear._cotraining import (
    PSEUDO_ROWS,
    class_prior_correction,
    confident_rows,
    cross_fit,
)
from domainvi.linear._members import View, balanced_weights, sharpen

HALF = np.full(4, 0.5)


def macro_f1(truth, predicted):
    return f1_score(truth, predicted, average="macro")


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(2))
def test_planted_classes_are_found_where_the_source_alone_fails(planted, shift, seed):
    rows, truth = planted(class_mix_shift=shift, seed=seed)
    source, target = rows.in_source, ~rows.in_source
    naive = LogisticRegression(max_iter=500).fit(rows.x[source], truth[source])
    assert macro_f1(truth[target], naive.predict(rows.x[target])) < 0.6
    found = fit_linear_ensemble(rows).probs.argmax(axis=1)
    assert macro_f1(truth[target], found[target]) >= 0.95


@pytest.mark.parametrize("shown", [1, 2, 5])
def test_some_labels_in_the_target_do_no_harm(planted, shown):
    rows, truth = planted(shown=shown)
    assert rows.partly_labelled.tolist() == [False, True]
    target = ~rows.in_source
    found = fit_linear_ensemble(rows).probs.argmax(axis=1)
    assert macro_f1(truth[target], found[target]) >= 0.95


def test_several_targets(planted):
    rows, truth = planted(n_domains=3, domain_effect=2.0)
    found = fit_linear_ensemble(rows).probs.argmax(axis=1)
    for d in (1, 2):
        assert macro_f1(truth[rows.domain == d], found[rows.domain == d]) >= 0.95


def test_what_the_fit_holds(planted):
    rows, _ = planted(class_mix_shift=0.5)
    fit = fit_linear_ensemble(rows)
    np.testing.assert_allclose(fit.probs.sum(axis=1), 1)
    assert fit.statistics.centre.shape == fit.statistics.scale.shape == (2, 120)
    assert (fit.statistics.scale > 0).all()
    count = np.bincount(rows.label[rows.labelled])
    np.testing.assert_allclose(fit.classes.prior, np.sqrt(count) / np.sqrt(count).sum())
    for member in fit.members.values():
        assert member.coef.shape == (120, 4)
        assert np.isfinite(member.coef).all()
        assert member.weight >= 0


def test_the_same_rows_give_the_same_fit(planted):
    rows, _ = planted()
    a, b = fit_linear_ensemble(rows), fit_linear_ensemble(rows)
    np.testing.assert_array_equal(a.probs, b.probs)


def test_the_order_of_the_rows_does_not_matter(planted):
    rows, _ = planted()
    order = np.random.default_rng(0).permutation(len(rows.label))
    shuffled = type(rows)(
        rows.x[order], rows.domain[order], rows.label[order], rows.is_source, rows.n_classes
    )
    a, b = (
        fit_linear_ensemble(rows).probs[order].argmax(axis=1),
        fit_linear_ensemble(shuffled).probs.argmax(axis=1),
    )
    assert (a == b).mean() > 0.98


def test_one_domain_without_any_target(planted):
    rows, truth = planted()
    part = rows.in_source
    alone = type(rows)(rows.x[part], rows.domain[part], rows.label[part], np.array([True]), 4)
    found = fit_linear_ensemble(alone).probs.argmax(axis=1)
    assert (found == truth[part]).mean() > 0.95


def test_a_class_that_only_the_target_has(planted):
    rows, truth = planted(unknown_class_in_target=True, shown=6)
    fit = fit_linear_ensemble(rows)
    assert fit.classes.prior[3] == 0
    target = ~rows.in_source
    assert macro_f1(truth[target], fit.probs.argmax(axis=1)[target]) > 0.8


def views_right_and_wrong(rows):
    """A view of the genes as they are, and one of noise."""
    rng = np.random.default_rng(0)
    noise = type(rows)(
        rng.normal(size=rows.x.shape).astype(np.float32),
        rows.domain,
        rows.label,
        rows.is_source,
        rows.n_classes,
    )
    ones = np.ones(rows.x.shape[1])
    views = {"noise": View(noise, domain_statistics(noise), ones)}
    views["right"] = View(rows, domain_statistics(rows), ones)
    for view in views.values():
        view.fit(rows.label, balanced_weights(rows, np.full(rows.n_classes, 0.5)))
    return views


def test_experts_of_single_rows_have_more_where_views_disagree(planted):
    rows, _ = planted()
    scrambled, target = rows.x.copy(), ~rows.in_source
    scrambled[target] = np.random.default_rng(0).permuted(scrambled[target], axis=0)
    lost = type(rows)(scrambled, rows.domain, rows.label, rows.is_source, rows.n_classes)
    found = [fit_linear_ensemble(r).row_wise_share for r in (rows, lost)]
    assert 0 <= found[0] < found[1] <= 1


def test_with_enough_labels_in_the_target_experts_of_single_rows_have_no_share(planted):
    rows, _ = planted(shown=6)
    assert fit_linear_ensemble(rows).row_wise_share == 0


def test_class_prior_correction_by_hand():
    # Domain 1 has six labels, three a class; domain 2 has five, and domain 3 none.
    label = np.array([0, 1, *[0] * 5, 1, -1, -1, -1, *[0] * 5, -1, -1])
    domain = np.repeat([0, 1, 2, 3], [2, 9, 6, 1])
    is_source = np.array([True, False, False, False])
    rows = TrainingRows(np.zeros((18, 1), dtype=np.float32), domain, label, is_source, 2)
    found = class_prior_correction(rows, np.tile([0.25, 0.75], (18, 1)))
    # Three predicted rows, six labelled, and five of either class beyond those seen.
    expected = np.array([3 * 0.25 + 5 + PSEUDO_ROWS, 3 * 0.75 + 1 + PSEUDO_ROWS])
    np.testing.assert_allclose(found[1], np.log(2 * expected / expected.sum()))
    assert not found[[0, 2, 3]].any()


def test_cross_fitting_favours_the_right_view(planted):
    rows, _ = planted(shown=6)
    views = views_right_and_wrong(rows)
    sharpness = cross_fit(rows, views, HALF)
    assert views["right"].weight == 1.0
    assert views["noise"].weight < 1e-3
    assert sharpness > 1


def test_cross_fitting_scores_rows_without_their_own_label(planted):
    # Labels that mean nothing: no view can foretell them, so that the average is softened.
    rows, truth = planted(shown=6)
    rng = np.random.default_rng(0)
    labelled_target = rows.labelled & ~rows.in_source
    label = rows.label.copy()
    label[labelled_target] = rng.permutation(label[labelled_target])
    lied = replace(rows, label=label)
    honest = cross_fit(rows, views_right_and_wrong(rows), HALF)
    assert cross_fit(lied, views_right_and_wrong(lied), HALF) < honest


def test_cross_fitting_needs_two_labels_a_class(planted):
    rows, _ = planted(shown=1)
    views = views_right_and_wrong(rows)
    cross_fit(rows, views, HALF)
    assert [v.weight for v in views.values()] == [1.0, 1.0]


def test_sharpen_by_hand():
    p = np.array([[0.8, 0.2], [0.5, 0.5]])
    np.testing.assert_allclose(sharpen(p, 2.0), [[64 / 68, 4 / 68], [0.5, 0.5]])
    np.testing.assert_allclose(sharpen(p, 1.0), p)
    assert np.isfinite(sharpen(np.array([[1.0, 0.0]]), 4.0)).all()


def rows_of(label, domain, n_classes=2):
    x = np.zeros((len(label), 1), dtype=np.float32)
    return TrainingRows(x, np.array(domain), np.array(label), np.array([True, False]), n_classes)


def test_confident_rows_by_hand():
    rows = rows_of([0, 1, -1, -1, -1, -1, -1], [0, 0, 1, 1, 1, 1, 1])
    p = np.array([0.5, 0.5, 0.9, 0.6, 0.8, 0.3, 0.4])
    free = np.array([False, False, True, True, True, True, True])
    label, weight = confident_rows(np.column_stack([p, 1 - p]), rows, free, 0.5)
    # Of rows 2, 3, 4 (class 0) the two surest; of rows 5, 6 (class 1) the surest.
    np.testing.assert_array_equal(label, [0, 1, 0, -1, 0, 1, -1])
    np.testing.assert_allclose(weight, 3 * np.array([0, 0, 1 / 4, 0, 1 / 4, 1 / 2, 0]))
    np.testing.assert_array_equal(rows.label, [0, 1, -1, -1, -1, -1, -1])


def test_confident_rows_by_their_number_or_its_root():
    rows = rows_of([0, 1, -1, -1, -1, -1, -1], [0, 0, 1, 1, 1, 1, 1])
    p = np.array([0.5, 0.5, 0.9, 0.6, 0.8, 0.7, 0.4])
    free = rows.label < 0
    soft = np.column_stack([p, 1 - p])
    _, weight = confident_rows(soft, rows, free, 1.0, balance=0.0)
    np.testing.assert_allclose(weight[2:], 1.0)
    _, weight = confident_rows(soft, rows, free, 1.0, balance=0.5)
    # Four rows of class 0 and one of class 1: as classes, two to one.
    assert weight[2:6].sum() == pytest.approx(2 * weight[6])
    assert weight.sum() == pytest.approx(5)


def test_only_free_rows_join():
    rows = rows_of([0, 1, -1, -1], [0, 0, 1, 1])
    soft = np.tile([0.9, 0.1], (4, 1))
    label, weight = confident_rows(soft, rows, np.array([False, False, True, False]), 1.0)
    np.testing.assert_array_equal(label, [0, 1, 0, -1])
    np.testing.assert_allclose(weight, [0, 0, 1, 0])
    label, weight = confident_rows(soft, rows, np.zeros(4, dtype=bool), 1.0)
    np.testing.assert_array_equal(label, rows.label)
    assert not weight.any()


def test_labels_of_one_class_in_a_target_do_not_cost_the_others(planted):
    rows, truth = planted(domain_effect=1.0)
    label = rows.label.copy()
    label[(rows.domain > 0) & (truth == 0)] = 0
    fit = fit_linear_ensemble(replace(rows, label=label))
    hidden = label < 0
    assert np.mean(fit.probs[hidden].argmax(axis=1) == truth[hidden]) > 0.95
