"""P-values are uniform for known rows, small for planted unknowns, and survive a file."""

import numpy as np
import pytest
from scipy.stats import kstest

from domainvi.errors import InputError
from domainvi.metrics import auroc
from domainvi.trust import UnknownScorer
from domainvi.trust._unknown import ClassDistance, deal_folds, energy

CENTRES = 6 * np.eye(4)[:3]


# The exact logits of the three classes, but for a constant that is the same for all.
EXACT = np.vstack([np.zeros(3), CENTRES.T])


def draw(n, seed, centres=CENTRES):
    """Draw unit normals around centres."""
    rng = np.random.default_rng(seed)
    label = rng.integers(len(centres), size=n)
    return rng.normal(size=(n, 4)) + centres[label], label


def fit(z, label, classifier=EXACT, *, seed=0, **kwargs):
    fold = deal_folds(label, np.random.default_rng(seed))
    logits = classifier[0] + z @ classifier[1:]
    return UnknownScorer.fit(z, label, logits, classifier, fold, **kwargs)


@pytest.fixture(scope="module")
def scorer():
    return fit(*draw(1500, 0))


def test_p_values_of_exchangeable_rows_are_uniform(scorer):
    p = scorer.p_value(draw(1500, 1)[0])
    assert kstest(p, "uniform").pvalue > 0.01
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.02)
    assert p.min() >= 1 / 1501
    assert p.max() <= 1


def test_p_value_by_hand(scorer, monkeypatch):
    top, low = scorer.calibration[-1], scorer.calibration[0]
    scores = np.array([top + 1, top, low - 1])
    monkeypatch.setattr(UnknownScorer, "score", lambda *_: scores)
    np.testing.assert_allclose(scorer.p_value([]), [1 / 1501, 2 / 1501, 1501 / 1501])


@pytest.mark.parametrize(
    "centre",
    [[0, 0, 0, 6], [3, 3, 0, 0], [9, 9, 9, 9]],
    ids=["a new direction", "between two classes", "far away"],
)
def test_planted_unknowns_are_found(scorer, centre):
    z = np.r_[draw(500, 2)[0], draw(200, 3, centres=np.array([centre], dtype=float))[0]]
    flag = np.repeat([False, True], [500, 200])
    p = scorer.p_value(z, domain=np.zeros(700))
    assert auroc(-p, flag) > 0.95
    assert (p[flag] <= 0.05).mean() > 0.8
    assert 0.005 < (p[~flag] <= 0.05).mean() <= 0.08


def test_an_unknown_on_a_known_class_cannot_be_seen_there():
    # Hidden in what an adversary left, and plain in what it did not touch.
    (z, label), (unknown, _) = draw(1000, 4), draw(200, 5, centres=np.array([[6.0, 0, 0, 8]]))
    test, flag = np.r_[z[:300], unknown], np.repeat([False, True], [300, 200])
    adapted = fit(z[:, :3], label, EXACT[:4])
    assert auroc(adapted.score(test[:, :3]), flag) < 0.65
    assert auroc(fit(z, label).score(test), flag) > 0.85


def test_a_shifted_domain_is_brought_to_the_common_level(scorer):
    z, _ = draw(1000, 6)
    z[:, 3] += 4.0
    raw, level = scorer.p_value(z), scorer.p_value(z, domain=np.zeros(1000))
    assert (raw <= 0.05).mean() > 0.3
    assert (level <= 0.05).mean() == pytest.approx(0.05, abs=0.04)


def test_domains_are_never_shifted_up_and_small_ones_not_at_all(scorer):
    low, high = np.full(50, -5.0), np.full(50, 5.0)
    offset = scorer.offset(np.r_[low, high, high[:10]], np.repeat([0, 1, 2], [50, 50, 10]))
    assert (offset[:50] == 0).all()
    np.testing.assert_allclose(offset[50:100], 5.0 - np.quantile(scorer.calibration, 0.25))
    assert (offset[100:] == 0).all()


def test_calibration_rows_are_scored_without_themselves():
    # as many dimensions as rows a class: centres fitted with the row would be far too near
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 60)
    z, new = rng.normal(size=(2, 120, 60))
    p = fit(z, label, rng.normal(size=(61, 2)) * 0.01).p_value(new)
    assert (p <= 0.05).mean() < 0.15


def test_the_energy_does_not_depend_on_the_free_constant():
    logits = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(energy(logits), energy(logits + np.arange(5.0)[:, None]))
    np.testing.assert_allclose(energy(np.zeros((1, 3))), -np.log(3))


def test_distance_by_hand():
    # residuals +-1 on each axis: covariance I / 2 without shrinkage to speak of
    z = np.tile([[1, 0], [-1, 0], [0, 1], [0, -1]], (500, 1)) + 0.0
    label = np.zeros(len(z), dtype=np.int64)
    distance = ClassDistance.fit(np.r_[z, z + [10, 0]], np.r_[label, label + 1])
    found = np.exp(distance(np.array([[3.0, 0.0], [10.0, 2.0]])))
    np.testing.assert_allclose(found, [18.0, 8.0], rtol=1e-3)


def test_collapsed_latents_give_finite_p_values():
    z = np.ones((60, 3))
    p = fit(z, np.repeat([0, 1], 30), np.eye(4)[:, :2]).p_value(z)
    assert ((p > 0) & (p <= 1)).all()


def test_a_small_class_uses_the_common_scale():
    z, label = draw(400, 7)
    keep = (label < 2) | (np.cumsum(label == 2) <= 2)
    fitted = fit(z[keep], label[keep])
    assert fitted.distance.centres.shape == (3, 4)
    assert np.isfinite(fitted.score(z)).all()


def test_classes_are_spread_over_folds():
    fold = deal_folds(np.repeat([0, 1], [40, 10]), np.random.default_rng(0))
    assert np.bincount(fold[:40]).tolist() == [8] * 5
    assert np.bincount(fold[40:]).tolist() == [2] * 5


def test_labelled_domains_of_different_spread_are_levelled():
    z, label = draw(1000, 8)
    domain = np.repeat([0, 1], 500)
    z[domain == 1, 3] += 4.0
    levelled, plain = fit(z, label, domain=domain), fit(z, label)
    assert np.ptp(levelled.calibration) < np.ptp(plain.calibration)


def test_round_trip_through_numeric_arrays(scorer, tmp_path):
    np.savez(tmp_path / "scorer.npz", **scorer.to_arrays())
    with np.load(tmp_path / "scorer.npz", allow_pickle=False) as arrays:
        back = UnknownScorer.from_arrays(dict(arrays))
    z, domain = draw(100, 9)[0], np.repeat([0, 1], 50)
    np.testing.assert_array_equal(back.p_value(z, domain=domain), scorer.p_value(z, domain=domain))


def test_seeds_repeat():
    rows = draw(200, 10)
    one, two, other = (fit(*rows, seed=s).calibration for s in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_values_that_would_rank_as_unknown_are_refused(scorer):
    with pytest.raises(InputError, match=r"z holds 20 NaN"):
        scorer.score(np.full((5, 4), np.nan))


def test_arrays_that_lack_a_part_are_refused(scorer):
    arrays = scorer.to_arrays()
    for name in arrays:
        with pytest.raises(KeyError):
            UnknownScorer.from_arrays({k: v for k, v in arrays.items() if k != name})
