"""The guard keeps what helps and undoes what harms, without a label."""

import numpy as np
import pytest

from domainvi.errors import InputError
from domainvi.trust import guard_decision, guard_evidence, separation


def soft(label, n_classes=3, confidence=0.9):
    """Return probabilities that favour a label."""
    rest = (1 - confidence) / (n_classes - 1)
    return np.where(np.eye(n_classes)[label] == 1, confidence, rest)


@pytest.fixture
def target():
    rng = np.random.default_rng(0)
    label = rng.integers(3, size=300)
    return rng.normal(size=(300, 3)) + 6 * np.eye(3)[label], label


def test_separation_by_hand():
    # centres 0 and 2 around 1: between 4 * 1, within 4 * .25
    assert separation([[-0.5], [0.5], [1.5], [2.5]], [0, 0, 1, 1]) == pytest.approx(0.8)
    assert separation([[0.0], [1.0]], [7, 7]) == 0.0
    assert separation([[1.0], [1.0]], [0, 1]) == 0.0


def test_separation_of_random_labels_is_about_classes_over_rows(target):
    z, _ = target
    random = np.random.default_rng(1).integers(3, size=300)
    assert separation(z, random) < 0.03


def test_a_better_model_is_kept_and_a_worse_one_undone(target):
    z, label = target
    worse = label.copy()
    worse[:120] = np.random.default_rng(1).integers(3, size=120)
    kept = guard_decision(soft(label), soft(worse), z)
    undone = guard_decision(soft(worse), soft(label), z)
    assert kept.keep_adapted
    assert not undone.keep_adapted
    assert kept.reason.startswith("adaptation kept")
    assert undone.reason.startswith("adaptation undone")
    assert kept.evidence["separation_change"] == pytest.approx(
        -undone.evidence["separation_change"]
    )


def test_identical_predictions_are_kept(target):
    z, label = target
    decision = guard_decision(soft(label), soft(label), z)
    assert decision.keep_adapted
    assert decision.evidence["agreement"] == 1.0
    assert all(v == 0 for k, v in decision.evidence.items() if k.endswith("_change"))


def test_a_drop_of_the_histogram_entropy_can_be_forbidden():
    # the second axis dominates: two classes explain more variance than three, and one class is lost
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], 50)
    z = np.c_[(label == 1) * 1.0, (label == 2) * 20.0] + rng.normal(size=(150, 2)) * 0.1
    merged = np.where(label == 1, 0, label)
    noisy = label.copy()
    noisy[[0, 60, 120]] = [2, 2, 0]
    assert guard_decision(soft(merged), soft(noisy), z).keep_adapted
    assert not guard_decision(soft(merged), soft(noisy), z, max_entropy_drop=0.03).keep_adapted


def test_with_target_labels_a_mix_made_even_is_undone(target):
    z, _ = target
    rare = np.repeat([0, 1, 2], [260, 20, 20])
    even = np.repeat([0, 1, 2], 100)
    assert not guard_decision(soft(even), soft(rare), z, target_labels=True).keep_adapted
    assert guard_decision(soft(rare), soft(even), z, target_labels=True).keep_adapted


def test_evidence_by_hand():
    certain = np.eye(2)[[0, 0, 0, 1]]
    uniform = np.full((4, 2), 0.5)
    found = guard_evidence(certain, uniform, np.arange(4.0)[:, None])
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert found["histogram_entropy_adapted"] == pytest.approx(entropy)
    assert found["mutual_information_adapted"] == pytest.approx(entropy)
    assert found["mutual_information_reference"] == pytest.approx(0.0)
    assert found["mean_confidence_change"] == pytest.approx(0.5)
    assert found["largest_share_adapted"] == 0.75
    assert found["agreement"] == 0.75


def test_rows_that_differ_are_refused(target):
    z, label = target
    with pytest.raises(InputError, match="same rows"):
        guard_decision(soft(label), soft(label)[:-1], z)
    with pytest.raises(InputError, match="same rows"):
        guard_decision(soft(label), soft(label), z[:-1])
    with pytest.raises(InputError, match="one class"):
        separation(z, label[:-1])
