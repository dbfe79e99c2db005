"""What is projected out, and what is left."""

import numpy as np
import pytest

from domainvi.disentangled._erasure import Concept, erasure_map


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    code, other = rng.integers(3, size=600), rng.integers(2, size=600)
    z = rng.normal(size=(600, 5))
    z[:, 0] += 2.0 * code
    z[:, 1] += 3.0 * other
    return z @ rng.normal(size=(5, 5)), code, other


def correlation(z, y):
    levels = np.eye(y.max() + 1)[y]
    return np.abs(np.corrcoef(np.hstack([z, levels]).T)[: z.shape[1], z.shape[1] :]).max()


def test_no_covariance_is_left_and_other_factors_stay(rows):
    z, code, other = rows
    matrix, centre = erasure_map(z, [Concept(code, 3)])
    out = centre + (z - centre) @ matrix
    # One direction of three levels on a line; the other is chance and stays.
    assert correlation(z, code) > 0.4
    assert correlation(out, code) < 0.1
    assert np.linalg.matrix_rank(matrix, tol=1e-6) >= 3
    fit = np.linalg.lstsq(np.c_[out, np.ones(600)], other, rcond=None)[0]
    assert np.corrcoef(np.c_[out, np.ones(600)] @ fit, other)[0, 1] > 0.75


def test_nothing_is_changed_when_there_is_nothing_to_erase(rows):
    z, *_ = rows
    matrix, centre = erasure_map(z, [Concept(np.full(600, -1), 2)])
    np.testing.assert_allclose(matrix, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(centre, z.mean(axis=0))


def test_within_strata_what_the_stratum_explains_stays(rows):
    z, code, other = rows
    tied = other.copy()
    matrix, _ = erasure_map(z, [Concept(tied, 2, stratum=other)])
    np.testing.assert_allclose(matrix, np.eye(5), atol=1e-9)


def test_own_factors_that_are_correlated_by_chance_are_not_taken_for_leakage(rows):
    z, _, own = rows
    # Foreign rows agree with the own factor more often than not, and leave no trace of their own.
    foreign = np.where(np.random.default_rng(1).random(600) < 0.6, own, 1 - own)
    given = np.eye(2)[own]
    matrix, _ = erasure_map(z, [Concept(foreign, 2)], [Concept(own, 2)])
    np.testing.assert_allclose(matrix, np.eye(5), atol=1e-9)
    plain, _ = erasure_map(z, [Concept(foreign, 2)])
    assert correlation(z @ matrix, own) > correlation(z @ plain, own) + 0.05
    # A trace is found beside it.
    z = z + 0.5 * foreign[:, None]
    matrix, _ = erasure_map(z, [Concept(foreign, 2)], [Concept(own, 2)])
    residual = z @ matrix - given @ np.linalg.lstsq(given, z @ matrix, rcond=None)[0]
    assert correlation(residual, foreign) < 1e-6


def test_a_factor_that_is_missing_where_the_foreign_one_shifts_rows_explains_nothing(rows):
    z, code, own = rows
    foreign = np.arange(600) % 2
    z = z + 2.0 * foreign[:, None]
    hidden = np.where(foreign == 1, -1, own)
    matrix, _ = erasure_map(z, [Concept(foreign, 2)], [Concept(hidden, 2)])
    assert correlation(z, foreign) > 0.3
    assert correlation(z @ matrix, foreign) < 0.1
