"""Prediction sets: the coverage that they state, by whose rows, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from domainvi.errors import InputError
from domainvi.trust import PredictionSets, rows_needed


def answers(
    rng: np.random.Generator, n: int, spread: float = 1.0, shares: tuple[float, ...] = (1, 1, 1)
) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities whose certainty is no guide to how often they are right."""
    label = rng.choice(len(shares), size=n, p=np.array(shares) / sum(shares))
    scores = 2.0 * np.eye(len(shares))[label] + rng.normal(0, spread, (n, len(shares)))
    p = np.exp(3 * scores)
    return label, p / p.sum(axis=1, keepdims=True)


def coverage(found: np.ndarray, label: np.ndarray) -> float:
    return float(found[np.arange(len(label)), label].mean())


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_coverage_is_what_is_stated(rng: np.random.Generator, alpha: float) -> None:
    found = []
    for _ in range(20):
        label, p = answers(rng, 600, spread=2.0)
        one = np.zeros(300, dtype=int)
        sets = PredictionSets.fit(p[:300], label[:300], one)
        found.append(coverage(sets.contains(p[300:], one, alpha), label[300:]))
    assert np.mean(found) == pytest.approx(1 - alpha, abs=0.02)


def test_the_likeliest_class_is_always_in(rng: np.random.Generator) -> None:
    label, p = answers(rng, 400, spread=0.1)
    domain = np.zeros(400, dtype=int)
    found = PredictionSets.fit(p, label, domain).contains(p, domain, 0.4)
    assert found.any(axis=1).all()
    assert coverage(found, label) == 1.0


def test_domains_with_labels_enough_are_calibrated_by_their_own(rng: np.random.Generator) -> None:
    easy, hard = answers(rng, 300, spread=0.5), answers(rng, 600, spread=3.0)
    p = np.concatenate([easy[1], hard[1][:300]])
    label = np.concatenate([easy[0], hard[0][:300]])
    sets = PredictionSets.fit(p, label, np.repeat([0, 1], 300))
    own, other = (np.full(300, d) for d in (1, 2))
    assert coverage(sets.contains(hard[1][300:], own, 0.1), hard[0][300:]) > 0.86
    assert coverage(sets.contains(hard[1][300:], other, 0.1), hard[0][300:]) < 0.86
    assert sets.has_own(1, 0.1)
    assert not sets.has_own(2, 0.1)


def test_weights_correct_for_the_classes_that_were_labelled(rng: np.random.Generator) -> None:
    """Labels were given class by class, and one class, the harder one, is most of the cohort."""

    def draw(n: int, share: float) -> tuple[np.ndarray, np.ndarray]:
        label = (rng.random(n) < share).astype(int)
        right = rng.beta(np.where(label == 1, 2, 20), 2)
        p = np.where(np.arange(2) == label[:, None], right[:, None], 1 - right[:, None])
        return label, p

    label, p = draw(1000, 0.5)
    truth, q = draw(4000, 0.95)
    shown, rows = np.zeros(1000, dtype=int), np.zeros(4000, dtype=int)
    plain = PredictionSets.fit(p, label, shown)
    weighted = PredictionSets.fit(p, label, shown, np.array([[0.05, 0.95]]))
    # Sets of one class at least cover more than stated, so the level is what is compared.
    assert weighted.contains(q, rows, 0.1).sum() > plain.contains(q, rows, 0.1).sum()
    assert coverage(weighted.contains(q, rows, 0.1), truth) > 0.88
    assert coverage(plain.contains(q, rows, 0.1), truth) < 0.88


def test_classes_without_probability_are_never_in(rng: np.random.Generator) -> None:
    label, p = answers(rng, 100, spread=3.0)
    domain = np.zeros(100, dtype=int)
    p[:, 2] = 0.0
    found = PredictionSets.fit(p, label, domain).contains(p, domain, 0.01)
    assert not found[:, 2].any()
    assert found[:, :2].all()


def test_too_few_rows_for_alpha(rng: np.random.Generator) -> None:
    label, p = answers(rng, 10)
    sets = PredictionSets.fit(p, label, np.zeros(10, dtype=int))
    assert rows_needed(0.1) == 9
    assert sets.contains(p, np.zeros(10, dtype=int), 0.1).any()
    with pytest.raises(InputError, match=r"alpha=0.05 need 19 labelled .* has 10.*0\.091 or more"):
        sets.contains(p, np.zeros(10, dtype=int), 0.05)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 2, "x", None, True, float("nan")])
def test_alpha_is_a_share(alpha: object) -> None:
    sets = PredictionSets(np.zeros(20), np.zeros(20, dtype=int), np.ones(20))
    with pytest.raises(InputError, match="must be a number above 0 and below 1"):
        sets.contains(np.ones((1, 1)), np.zeros(1, dtype=int), alpha)


def test_promise_names_cohorts_without_labels() -> None:
    sets = PredictionSets(np.zeros(20), np.zeros(20, dtype=int), np.ones(20))
    assert sets.promise(0.1, {0: "x"}) == (
        "Sets state that they hold the right class in 90.0% of the rows, by the labels of each "
        "cohort."
    )
    assert "not promised for y, with fewer than 9 labels" in sets.promise(0.1, {0: "x", 1: "y"})


def test_files_that_do_not_fit_are_refused() -> None:
    sets = PredictionSets(np.zeros(3), np.zeros(3, dtype=int), np.ones(3))
    again = PredictionSets.from_arrays(sets.to_arrays())
    np.testing.assert_array_equal(again.score, sets.score)
    for name, values in (("score", np.zeros(2)), ("weight", np.full(3, np.nan))):
        with pytest.raises(ValueError, match="arrays of shapes"):
            PredictionSets.from_arrays(sets.to_arrays() | {name: values})
