"""Association of class and domain: by hand, in the limits, and in expectation."""

import numpy as np
import pytest
from scipy.stats.contingency import association

from domainvi.errors import InputError
from domainvi.metrics import (
    class_mix,
    cramers_v,
    domain_only_macro_f1,
    jensen_shannon_divergence,
    majority_macro_f1,
    mixing_error_bound,
    normalised_mutual_information,
)


def test_cramers_v_by_hand():
    # chi2 = 100 * (40*40 - 10*10)^2 / 50^4 = 36, phi2 = .36; corrected (.36 - 1/99) / (1 - 1/99)
    assert cramers_v([[40, 10], [10, 40]]) == pytest.approx(np.sqrt((0.36 - 1 / 99) / (98 / 99)))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_total_confounding_is_one(n):
    table = 30 * np.eye(n)
    assert cramers_v(table) == pytest.approx(1.0)
    assert normalised_mutual_information(table) == pytest.approx(1.0)


def test_independence_is_zero():
    table = np.outer([10, 20, 30], [1, 2])
    assert cramers_v(table) == 0.0
    assert normalised_mutual_information(table) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(jensen_shannon_divergence(table), 0, atol=1e-12)


def test_the_correction_removes_the_bias_of_small_independent_tables():
    rng = np.random.default_rng(0)
    tables = rng.multinomial(60, np.full(24, 1 / 24), size=200).reshape(200, 6, 4) + 0.0
    tables = [t[t.sum(1) > 0][:, t.sum(0) > 0] for t in tables]
    corrected = np.mean([cramers_v(t) for t in tables])
    plain = np.mean([association(t.astype(int)) for t in tables])
    assert plain > 0.25
    assert corrected < 0.08


def test_empty_rows_and_columns_change_nothing():
    table = np.array([[40, 0, 10], [0, 0, 0], [10, 0, 40]])
    assert cramers_v(table) == cramers_v([[40, 10], [10, 40]])
    assert cramers_v([[3, 4]]) == 0.0


def test_mutual_information_by_hand():
    table = np.array([[3, 1], [1, 3]])
    expected = (2 * 3 / 8 * np.log(3 / 2) + 2 * 1 / 8 * np.log(1 / 2)) / np.log(2)
    assert normalised_mutual_information(table) == pytest.approx(expected)


def test_divergence_by_hand_and_for_empty_domains():
    table = np.array([[10, 5, 0, 0], [0, 5, 10, 0]])
    js = jensen_shannon_divergence(table)
    # P = (1, 0), Q = (1/2, 1/2): H(3/4, 1/4) - 1/2
    expected = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)) - 0.5
    assert js[0, 1] == pytest.approx(expected)
    assert js[0, 2] == pytest.approx(1.0)
    assert js[0, 0] == 0.0
    assert np.isnan(js[3]).all()
    np.testing.assert_array_equal(js, js.T)
    assert np.isnan(class_mix(table)[:, 3]).all()


def test_error_bound_shrinks_with_the_divergence_of_the_latents():
    table = [[10, 0], [0, 10]]
    assert mixing_error_bound(table)[0, 1] == pytest.approx(0.5)
    assert mixing_error_bound(table, 0.5)[0, 1] == pytest.approx(0.125)
    assert mixing_error_bound([[5, 5], [5, 5]], 0.5)[0, 1] == 0.0


def test_error_bound_holds_for_the_best_domain_blind_classifier():
    rng = np.random.default_rng(0)
    for mix in rng.dirichlet([1, 1, 1], size=(50, 2)):
        # latents without any information: the best constant answer
        best = min((1 - mix[:, c]).sum() for c in range(3))
        assert best >= mixing_error_bound(mix.T)[0, 1]


def test_domain_only_predictor_by_hand():
    table = np.array([[9, 2], [1, 8]])
    # class 0 answered for 10 rows, 9 right of 11; class 1 for 10 rows, 8 right of 9
    assert domain_only_macro_f1(table) == pytest.approx((18 / 21 + 16 / 19) / 2)
    assert majority_macro_f1(table) == pytest.approx((22 / 31) / 2)


@pytest.mark.parametrize("table", [[[-1, 2]], [[0, 0]], [1, 2], [[np.nan, 1]]])
def test_bad_tables_are_refused(table):
    with pytest.raises(InputError, match="table"):
        cramers_v(table)


def test_bad_latent_divergence_is_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        mixing_error_bound([[1, 1]], 2.0)
