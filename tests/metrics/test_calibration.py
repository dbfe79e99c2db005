"""Probability metrics against values by hand, torchmetrics, and their limits."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from domainvi.errors import InputError
from domainvi.metrics import (
    area_under_risk_coverage,
    brier,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_curve,
    risk_coverage_curve,
)

PROBS = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
TRUTH = np.array([0, 0, 1, 0])


def test_ece_by_hand_with_two_equal_mass_bins():
    # {.6, .7}: accuracy 1/2, confidence .65; {.8, .9}: accuracy 1, confidence .85
    assert expected_calibration_error(TRUTH, PROBS, n_bins=2) == pytest.approx(0.15)
    curve = reliability_curve(TRUTH, PROBS, n_bins=2)
    np.testing.assert_allclose(curve.confidence, [0.65, 0.85])
    np.testing.assert_allclose(curve.accuracy, [0.5, 1.0])
    assert curve.count.tolist() == [2, 2]


def test_uniform_bins_agree_with_torchmetrics():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(4), size=500)
    truth = rng.integers(4, size=500)
    expected = multiclass_calibration_error(
        torch.from_numpy(probs), torch.from_numpy(truth), num_classes=4, n_bins=15
    )
    found = expected_calibration_error(truth, probs, binning="uniform")
    assert found == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("binning", ["mass", "uniform"])
def test_rows_drawn_from_their_own_probabilities_are_calibrated(binning):
    rng = np.random.default_rng(1)
    probs = rng.dirichlet([1, 1, 1], size=40_000)
    truth = (probs.cumsum(axis=1) < rng.random((40_000, 1))).sum(axis=1)
    assert expected_calibration_error(truth, probs, binning=binning) < 0.012


def test_ties_share_a_bin_so_that_row_order_is_irrelevant():
    probs = np.repeat([[0.75, 0.25]], 40, axis=0)
    truth = np.repeat([0, 1], [30, 10])
    assert expected_calibration_error(truth, probs) == 0.0
    assert expected_calibration_error(truth[::-1], probs) == 0.0
    assert area_under_risk_coverage(truth, probs) == pytest.approx(0.25)
    assert area_under_risk_coverage(truth[::-1], probs) == pytest.approx(0.25)


def test_likelihood_and_brier_by_hand():
    expected = -np.mean(np.log([0.9, 0.8, 0.3, 0.6]))
    assert negative_log_likelihood(TRUTH, PROBS) == pytest.approx(expected)
    assert brier(TRUTH, PROBS) == pytest.approx(2 * np.mean([0.01, 0.04, 0.49, 0.16]))


def test_limits_of_certain_and_uniform_probabilities():
    certain, uniform = np.eye(3), np.full((3, 3), 1 / 3)
    truth = np.arange(3)
    assert negative_log_likelihood(truth, certain) == 0.0
    assert brier(truth, certain) == 0.0
    assert expected_calibration_error(truth, certain) == 0.0
    assert negative_log_likelihood(truth, uniform) == pytest.approx(np.log(3))
    assert brier(truth, uniform) == pytest.approx(2 / 3)


def test_a_certain_error_costs_a_finite_likelihood():
    assert 700 < negative_log_likelihood([1], [[1.0, 0.0]]) < 710


def test_risk_coverage_by_hand():
    coverage, risk = risk_coverage_curve(TRUTH, PROBS)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 4])
    assert area_under_risk_coverage(TRUTH, PROBS) == pytest.approx(7 / 48)


@pytest.mark.parametrize(
    ("truth", "probs", "match"),
    [
        ([0], [[0.5, 0.6]], "row sums"),
        ([0], [[np.nan, 1.0]], "NaN"),
        ([-1], [[0.5, 0.5]], "from -1"),
        ([2], [[0.5, 0.5]], "2 columns"),
        ([0.0], [[0.5, 0.5]], "integer"),
        ([0, 1], [[0.5, 0.5]], "1 rows"),
        ([0], [0.5, 0.5], "shape"),
    ],
)
def test_bad_input_is_refused(truth, probs, match):
    with pytest.raises(InputError, match=match):
        brier(truth, probs)


def test_bad_bins_are_refused():
    with pytest.raises(InputError, match="n_bins"):
        expected_calibration_error(TRUTH, PROBS, n_bins=0)
    with pytest.raises(InputError, match="'equal'"):
        expected_calibration_error(TRUTH, PROBS, binning="equal")
