"""The class mix of the target: planted, recovered, applied, and switched off."""

import numpy as np
import pytest

from domainvi.errors import InputError
from domainvi.trust import adjust_probs, estimate_prior


def posterior(prior_source, prior_target, n, gap=3.0, seed=0):
    """Draw unit normals at `gap * e_c` and return exact posteriors under the source prior."""
    rng = np.random.default_rng(seed)
    source = np.array(prior_source)
    label = rng.choice(len(source), size=n, p=prior_target)
    x = rng.normal(size=(n, len(source))) + gap * np.eye(len(source))[label]
    density = np.exp(gap * x) * source
    return density / density.sum(axis=1, keepdims=True), label


def test_a_planted_mix_is_recovered():
    target = [0.8, 0.15, 0.05]
    probs, _ = posterior([1 / 3] * 3, target, 4000)
    found = estimate_prior(probs, [1 / 3] * 3)
    assert found.usable
    np.testing.assert_allclose(found.prior, target, atol=0.02)
    assert found.n_iter > 1


def test_an_unchanged_mix_is_found_unchanged():
    source = [0.6, 0.3, 0.1]
    probs, _ = posterior(source, source, 4000)
    found = estimate_prior(probs, source)
    assert found.usable
    np.testing.assert_allclose(found.prior, source, atol=0.02)


def test_adjusting_to_the_same_prior_is_the_identity():
    probs, _ = posterior([0.6, 0.3, 0.1], [0.6, 0.3, 0.1], 50)
    np.testing.assert_allclose(adjust_probs(probs, [6, 3, 1], [0.6, 0.3, 0.1]), probs)


def test_adjusting_equals_bayes_under_the_target_prior():
    source, target = [0.5, 0.5], [0.9, 0.1]
    probs, _ = posterior(source, target, 200)
    exact, _ = posterior(target, target, 200)
    rng = np.random.default_rng(0)
    rng.choice(2, size=200, p=target)
    np.testing.assert_allclose(adjust_probs(probs, source, target), exact, atol=1e-12)


def test_adjusting_raises_accuracy_under_a_changed_mix():
    source, target = [0.5, 0.5], [0.95, 0.05]
    probs, label = posterior(source, target, 2000, gap=1.0)
    prior = estimate_prior(probs, source).prior
    adjusted = adjust_probs(probs, source, prior)
    before, after = ((p.argmax(axis=1) == label).mean() for p in (probs, adjusted))
    assert after > before + 0.1


def test_adjusting_by_hand_and_for_impossible_rows():
    np.testing.assert_allclose(
        adjust_probs([[0.4, 0.6]], [0.5, 0.5], [0.75, 0.25]), [[2 / 3, 1 / 3]]
    )
    np.testing.assert_array_equal(adjust_probs([[1.0, 0.0]], [0.5, 0.5], [0.0, 1.0]), [[1.0, 0.0]])
    np.testing.assert_array_equal(adjust_probs([[0.5, 0.5]], [1.0, 0.0], [0.5, 0.5]), [[1.0, 0.0]])


def test_few_rows_switch_it_off():
    source = [0.5, 0.5]
    probs, _ = posterior(source, [0.9, 0.1], 49)
    found = estimate_prior(probs, source)
    assert not found.usable
    assert "49 rows" in found.reason
    np.testing.assert_array_equal(found.prior, source)
    assert found.raw[0] > 0.7


def test_confused_classes_switch_it_off():
    source = [0.5, 0.5]
    held, label = posterior(source, source, 2000, gap=0.2)
    target, _ = posterior(source, [0.9, 0.1], 500, gap=0.2)
    found = estimate_prior(target, source, source_probs=held, source_label=label)
    assert not found.usable
    assert found.condition > 10
    assert "condition number" in found.reason


def test_the_condition_number_by_hand():
    held = np.array([[0.8, 0.2], [0.2, 0.8]])
    probs, _ = posterior([0.5, 0.5], [0.5, 0.5], 100)
    found = estimate_prior(probs, [0.5, 0.5], source_probs=held, source_label=[0, 1])
    assert found.condition == pytest.approx(1 / 0.6)
    assert found.usable


def test_a_class_that_vanishes_against_the_predictions_switches_it_off():
    # one class is only ever a narrow winner, so that the EM removes it from a third of the rows
    probs = np.repeat([[0.98, 0.01, 0.01], [0.46, 0.08, 0.46001]], [200, 100], axis=0)
    probs /= probs.sum(axis=1, keepdims=True)
    found = estimate_prior(probs, [1 / 3] * 3)
    assert not found.usable
    assert "remove" in found.reason
    np.testing.assert_allclose(found.prior, 1 / 3)


def test_an_unconverged_estimate_is_not_used():
    probs, _ = posterior([0.5, 0.5], [0.9, 0.1], 500, gap=1.0)
    found = estimate_prior(probs, [0.5, 0.5], max_iter=2)
    assert not found.usable
    assert "2 iterations" in found.reason


def test_bootstrap_measures_and_limits_the_error():
    probs, _ = posterior([0.5, 0.5], [0.8, 0.2], 400)
    found = estimate_prior(probs, [0.5, 0.5], n_bootstrap=30)
    assert found.standard_error == pytest.approx(np.sqrt(0.8 * 0.2 / 400), rel=0.5)
    assert found.usable
    strict = estimate_prior(probs, [0.5, 0.5], n_bootstrap=30, max_standard_error=0.001)
    assert not strict.usable


@pytest.mark.parametrize(
    ("args", "kwargs", "match"),
    [
        (([[0.5, 0.6]], [0.5, 0.5]), {}, "row sums"),
        (([[0.5, 0.5]], [1.0]), {}, "prior_source"),
        (([[0.5, 0.5]], [0.0, 0.0]), {}, "prior_source"),
        (([[0.5, 0.5]], [0.5, 0.5]), {"source_label": [0]}, "belong together"),
        (
            ([[0.5, 0.5]], [0.5, 0.5]),
            {"source_label": [0], "source_probs": [[0.2, 0.3, 0.5]]},
            "3 classes",
        ),
    ],
)
def test_bad_input_is_refused(args, kwargs, match):
    with pytest.raises(InputError, match=match):
        estimate_prior(*args, **kwargs)
