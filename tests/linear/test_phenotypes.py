"""Linear members of auxiliary phenotypes: weights by hand, planted signals, errors that hold."""

from __future__ import annotations

import numpy as np
import pytest

from domainvi.linear import fit_class_phenotype, fit_numeric_phenotype
from domainvi.linear._phenotypes import (
    calibrated_loss,
    can_cross_fit,
    cross_fitted,
    deal_domains,
    deal_rows,
    paired_weights,
)


def test_classes_count_the_same_within_domains() -> None:
    # Domain 0 has one row of class 0 and three of class 1; domain 1 has class 1 alone.
    domain, code = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(paired_weights(domain, code, 2), [3, 1, 1, 1, 0, 0])


def test_small_halves_count_as_small() -> None:
    # Effective numbers: 2 / (1/1 + 1/1) = 1 and 2 / (1/2 + 1/2) = 2.
    domain, code = np.array([0, 0, 1, 1, 1, 1]), np.array([0, 1, 0, 0, 1, 1])
    np.testing.assert_allclose(paired_weights(domain, code, 2), np.ones(6))


def test_a_class_that_stands_alone_everywhere_keeps_its_rows() -> None:
    domain, code = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])
    weight = paired_weights(domain, code, 3)
    np.testing.assert_allclose(np.bincount(code, weight), [4 / 3] * 3)


def test_domains_are_dealt_whole() -> None:
    domain = np.repeat(np.arange(7), [5, 3, 9, 4, 2, 8, 6])
    fold = deal_domains(domain)
    assert len(np.unique(fold)) == 5
    assert all(len(np.unique(fold[domain == d])) == 1 for d in range(7))
    assert np.bincount(fold).max() == 9


def test_folds_of_rows_hold_every_class() -> None:
    code = np.repeat([0, 1], [3, 27])
    fold = deal_rows(code, 0)
    assert all(set(code[fold == f]) == {0, 1} for f in np.unique(fold))


def test_folds_that_leave_one_class_are_of_no_use() -> None:
    fold, code = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert can_cross_fit(fold, code, np.ones(4))
    assert not can_cross_fit(fold, code, np.array([1.0, 1, 1, 0]))
    assert not can_cross_fit(np.zeros(4, dtype=int), code, np.ones(4))


def test_cross_fitting_never_sees_its_own_fold() -> None:
    x, fold = np.ones((4, 1)), np.array([0, 0, 1, 1])

    def fit(used: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        return np.array([[used[2:].sum() * strength]]), np.zeros(1)

    np.testing.assert_array_equal(cross_fitted(fit, x, fold, 10.0, 1)[:, 0], [20, 20, 0, 0])


def test_strengths_are_judged_by_order_not_by_size() -> None:
    rng = np.random.default_rng(0)
    code = rng.integers(2, size=400)
    scores = rng.normal(size=(400, 2)) + np.eye(2)[code]
    same = calibrated_loss(scores, code, np.ones(400))
    assert calibrated_loss(9 * scores, code, np.ones(400)) == pytest.approx(same, abs=5e-3)
    worse = calibrated_loss(rng.normal(size=(400, 2)), code, np.ones(400))
    assert worse > same + 0.05


def draw(n_domains: int = 4, n: int = 60, n_genes: int = 200) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(1)
    domain = np.repeat(np.arange(n_domains), n)
    return rng, domain, rng.normal(size=(n_domains * n, n_genes)).astype(np.float32)


def test_one_gene_that_tells_the_classes_is_found() -> None:
    rng, domain, s = draw()
    code = rng.integers(2, size=len(s))
    s[:, 7] += 4.0 * (code - 0.5)
    used = domain < 3
    fit = fit_class_phenotype(s[used], domain[used], code[used], 4, 2, 0)
    score = s @ fit.coef + fit.intercept
    held = ~used
    assert np.mean(score[held].argmax(axis=1) == code[held]) > 0.9
    assert np.abs(fit.coef[:, 1] - fit.coef[:, 0]).argmax() == 7
    assert fit.is_known.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(fit.offset[3], 0.0)


def test_class_prior_of_a_domain_is_its_offset() -> None:
    rng, domain, s = draw(2, 95)
    code = np.where(domain == 0, 0, rng.integers(2, size=len(s)))
    fit = fit_class_phenotype(s, domain, code, 2, 2, 0)
    # (95 + 5) / (95 + 10) of class 0, times two classes.
    np.testing.assert_allclose(fit.offset[0], np.log(2 * np.array([100, 5]) / 105))


def test_interval_of_a_number_covers_new_domains() -> None:
    rng, domain, s = draw(24, 50)
    shift = rng.normal(0, 6, 24)
    value = 60 + shift[domain] + 4 * s[:, :5].sum(axis=1) + rng.normal(0, 5, len(s))
    used = domain < 12
    fit = fit_numeric_phenotype(s[used], domain[used], value[used], 24, 0)
    v = s @ fit.coef[:, 0] + fit.intercept[0] + fit.offset[domain, 0]
    error = np.abs(fit.location + fit.scale * v - value) / fit.scale
    assert np.corrcoef(v[~used], value[~used])[0, 1] > 0.5
    new = np.mean(error[~used] < 1.645 * fit.spread * fit.widening)
    assert 0.85 < new < 0.97
    assert fit.widening > 1.1
    assert 0.5 < fit.spread < 1
    np.testing.assert_array_equal(fit.offset[12:], 0.0)


def test_noise_is_left_alone() -> None:
    rng, domain, s = draw(3)
    fit = fit_numeric_phenotype(s, domain, rng.normal(size=len(s)), 3, 0)
    assert (s @ fit.coef).std() < 0.3
    assert fit.spread == pytest.approx(1, abs=0.1)
