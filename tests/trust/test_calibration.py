"""Temperature scaling recovers what was planted and stays sane where little is known."""

import json

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.special import softmax

from domainvi.metrics import expected_calibration_error, negative_log_likelihood
from domainvi.trust import Calibrator, fit_calibrator
from domainvi.trust._calibration import _loss


def draw(temperature, n_classes=2, n=20_000, seed=0):
    """Draw logits, and labels from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3.0, size=(n, n_classes))
    probs = softmax(logits / temperature, axis=1)
    return logits, (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_planted_temperature_is_recovered(temperature):
    fitted = fit_calibrator(*draw(temperature, 3))
    assert fitted.temperature == pytest.approx(temperature, rel=0.05)


def test_calibration_repairs_overconfidence():
    logits, label = draw(4.0, 3)
    fitted = fit_calibrator(logits[:10_000], label[:10_000])
    before, after = softmax(logits[10_000:], axis=1), fitted.apply(logits[10_000:])
    assert expected_calibration_error(label[10_000:], before) > 0.2
    assert expected_calibration_error(label[10_000:], after) < 0.02


def test_the_gradient_is_exact():
    args = (*draw(2.0, 3, n=50), np.random.default_rng(0).random(50))
    point = np.array([0.4])
    error = check_grad(lambda x: _loss(x, *args)[0], lambda x: _loss(x, *args)[1], point)
    assert error < 1e-6


def test_separable_rows_do_not_drive_the_temperature_to_zero():
    label = np.repeat([0, 1], 5)
    assert 0.7 < fit_calibrator(np.eye(2)[label] * 4.0, label).temperature < 0.8


def test_the_floor_keeps_a_source_fit_from_sharpening():
    logits, label = draw(0.3)
    assert fit_calibrator(logits, label, min_temperature=1.0).temperature == 1.0
    assert fit_calibrator(logits, label, min_temperature=0.5).temperature == pytest.approx(0.5)


def test_weights_count_rows():
    logits, label = draw(1.5, n=2000)
    count = np.random.default_rng(1).integers(1, 4, size=2000)
    weighted = fit_calibrator(logits, label, sample_weight=count)
    repeated = fit_calibrator(np.repeat(logits, count, axis=0), np.repeat(label, count))
    assert weighted.temperature == pytest.approx(repeated.temperature, rel=1e-3)


def test_calibrating_calibrated_logits_changes_nothing():
    logits, label = draw(1.0, 3)
    fitted = fit_calibrator(logits, label)
    np.testing.assert_allclose(fitted.apply(logits), softmax(logits, axis=1), atol=0.02)
    assert negative_log_likelihood(label, fitted.apply(logits)) <= negative_log_likelihood(
        label, softmax(logits, axis=1)
    )


def test_round_trip_through_json():
    fitted = fit_calibrator(*draw(2.0, n=100))
    assert Calibrator.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted
    np.testing.assert_allclose(Calibrator().apply([[1.0, 0.0]]), softmax([[1.0, 0.0]], axis=1))
