"""Temperature scaling recovers what was planted and stays sane where little is known."""

import json

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.special import softmax

from domainvi.errors import InputError
from domainvi.metrics import expected_calibration_error, negative_log_likelihood
from domainvi.trust import Calibrator, fit_calibrator
from domainvi.trust._calibration import _loss


def draw(temperature, bias, n=20_000, seed=0):
    """Draw logits, and labels from softmax(logits / temperature + bias)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3.0, size=(n, len(bias)))
    probs = softmax(logits / temperature + np.array(bias), axis=1)
    return logits, (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_planted_temperature_and_bias_are_recovered(temperature):
    bias = np.array([0.5, -0.7, 0.2])
    fitted = fit_calibrator(*draw(temperature, bias))
    assert fitted.temperature == pytest.approx(temperature, rel=0.05)
    np.testing.assert_allclose(fitted.bias, bias, atol=0.1)


def test_plain_temperature_has_no_bias():
    fitted = fit_calibrator(*draw(2.0, [0.0, 0.0]), method="temperature")
    assert fitted.temperature == pytest.approx(2.0, rel=0.05)
    assert fitted.bias == (0.0, 0.0)


def test_calibration_repairs_overconfidence():
    logits, label = draw(4.0, [0.0, 0.0, 0.0])
    fitted = fit_calibrator(logits[:10_000], label[:10_000])
    before, after = softmax(logits[10_000:], axis=1), fitted.apply(logits[10_000:])
    assert expected_calibration_error(label[10_000:], before) > 0.2
    assert expected_calibration_error(label[10_000:], after) < 0.02


def test_the_gradient_is_exact():
    logits, label = draw(2.0, [0.3, 0.0, -0.3], n=50)
    weight = np.random.default_rng(0).random(50)
    args = (logits, label, weight, np.array([0, 2]), 0.7)
    point = np.array([0.4, -0.2, 0.3])
    error = check_grad(lambda x: _loss(x, *args)[0], lambda x: _loss(x, *args)[1], point)
    assert error < 1e-6


def test_separable_rows_do_not_drive_the_temperature_to_zero():
    label = np.repeat([0, 1], 5)
    logits = np.eye(2)[label] * 4.0
    prior = fit_calibrator(logits, label, method="temperature").temperature
    free = fit_calibrator(logits, label, method="temperature", prior_scale=np.inf).temperature
    assert free < 0.3
    assert 0.7 < prior < 0.8


def test_the_floor_keeps_a_source_fit_from_sharpening():
    logits, label = draw(0.3, [0.0, 0.0])
    fitted = fit_calibrator(logits, label, method="temperature", min_temperature=1.0)
    assert fitted.temperature == 1.0
    assert fit_calibrator(logits, label, min_temperature=0.5).temperature == pytest.approx(0.5)


def test_weights_count_rows():
    logits, label = draw(1.5, [0.2, -0.2], n=200)
    count = np.random.default_rng(1).integers(1, 4, size=200)
    scale = np.sqrt(200 / count.sum())  # the prior is worth as much beside either number of rows
    weighted = fit_calibrator(logits, label, sample_weight=count, prior_scale=1.0)
    repeated = fit_calibrator(
        np.repeat(logits, count, axis=0), np.repeat(label, count), prior_scale=scale
    )
    assert weighted.temperature == pytest.approx(repeated.temperature, rel=1e-3)
    np.testing.assert_allclose(weighted.bias, repeated.bias, atol=1e-3)


def test_a_class_without_rows_keeps_its_bias():
    logits, label = draw(1.0, [0.5, -0.5, -30.0])
    assert label.max() == 1
    fitted = fit_calibrator(logits, label)
    assert fitted.bias[2] == 0.0
    assert sum(fitted.bias) == pytest.approx(0.0, abs=1e-9)


def test_calibrating_calibrated_logits_changes_nothing():
    logits, label = draw(1.0, [0.0, 0.0, 0.0])
    fitted = fit_calibrator(logits, label)
    np.testing.assert_allclose(fitted.apply(logits), softmax(logits, axis=1), atol=0.02)
    assert negative_log_likelihood(label, fitted.apply(logits)) <= negative_log_likelihood(
        label, softmax(logits, axis=1)
    )


def test_round_trip_through_json():
    fitted = fit_calibrator(*draw(2.0, [0.1, -0.1], n=100))
    assert Calibrator.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted
    np.testing.assert_allclose(
        Calibrator.identity(2).apply([[1.0, 0.0]]), softmax([[1.0, 0.0]], axis=1)
    )


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"label": [0, 2]}, "from 0 to 1"),
        ({"label": [0]}, "2 rows"),
        ({"logits": [[np.inf, 0], [0, 1]]}, "infinite"),
        ({"logits": [[1.0], [2.0]]}, "2 columns"),
        ({"sample_weight": [1, -1]}, "zero or more"),
        ({"sample_weight": [0, 0]}, "zero everywhere"),
        ({"min_temperature": 0}, "min_temperature"),
        ({"method": "isotonic"}, "'isotonic'"),
    ],
)
def test_bad_input_is_refused(kwargs, match):
    arguments = {"logits": np.eye(2), "label": [0, 1]} | kwargs
    with pytest.raises(InputError, match=match):
        fit_calibrator(arguments.pop("logits"), arguments.pop("label"), **arguments)


def test_logits_of_another_model_are_refused():
    with pytest.raises(InputError, match="3 columns"):
        Calibrator.identity(2).apply(np.ones((1, 3)))
