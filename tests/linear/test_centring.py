"""Class-conditional centring of latents, on shifts that are planted."""

import numpy as np
import pytest

from domainvi.linear._centring import MIN_ROWS, Centring, fit_centring


@pytest.fixture
def shifted():
    """Two classes of 100 rows in each of two domains; the second is moved, each class elsewhere."""
    rng = np.random.default_rng(0)
    domain, label = np.repeat([0, 1], 200), np.tile([0, 1], 200)
    clean = rng.normal(size=(400, 3)) + 6 * np.eye(2, 3)[label]
    moved = np.array([[0.0, 0.0, 4.0], [-3.0, 0.0, 0.0]])
    z = clean + moved[label] * (domain == 1)[:, None]
    return z.astype(np.float32), np.eye(2)[label], domain, label


def log(p):
    return np.log(np.maximum(p, 1e-300))


def gaps(z, label, domain):
    return [
        np.linalg.norm(
            z[(label == k) & (domain == 1)].mean(0) - z[(label == k) & (domain == 0)].mean(0)
        )
        for k in (0, 1)
    ]


def test_planted_shifts_are_taken_off(shifted):
    z, p, domain, label = shifted
    found = fit_centring(z, p, domain, 2).apply(z, log(p), domain)
    assert found.dtype == np.float32
    assert min(gaps(z, label, domain)) > 2.5
    # What chance alone would make of 100 rows is left.
    assert max(gaps(found, label, domain)) < 0.6


def test_classes_stay_apart(shifted):
    z, p, domain, label = shifted
    found = fit_centring(z, p, domain, 2).apply(z, log(p), domain)
    between = found[label == 0].mean(0) - found[label == 1].mean(0)
    assert np.linalg.norm(between) > 4
    for k in (0, 1):
        kept = [c[label == k].mean(0) for c in (found, z)]
        np.testing.assert_allclose(*kept, atol=1e-5)


def test_rows_of_a_group_move_together(shifted):
    z, p, domain, label = shifted
    step = fit_centring(z, p, domain, 2).apply(z, log(p), domain) - z
    for d in (0, 1):
        for k in (0, 1):
            group = step[(domain == d) & (label == k)]
            np.testing.assert_allclose(group, group[:1].repeat(len(group), 0), atol=1e-5)


def test_differences_of_the_size_of_chance_are_mostly_left():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(400, 8)).astype(np.float32)
    p, domain = np.ones((400, 1)), np.repeat([0, 1], 200)
    before = z[domain == 1].mean(0) - z[domain == 0].mean(0)
    found = fit_centring(z, p, domain, 2).apply(z, log(p), domain)
    after = found[domain == 1].mean(0) - found[domain == 0].mean(0)
    assert np.linalg.norm(after) > 0.5 * np.linalg.norm(before)


def test_the_factor_by_hand():
    # Variance 1 within, 100 rows a domain at -2 and 2: length 2, chance sqrt(1 / 2 / 100).
    z = np.r_[np.tile([-3.0, -1.0], 50), np.tile([1.0, 3.0], 50)].astype(np.float32)[:, None]
    centring = fit_centring(z, np.ones((200, 1)), np.repeat([0, 1], 100), 2)
    expected = 2 * (1 - np.sqrt(0.5 / 100) / 2)
    np.testing.assert_allclose(centring.shift.ravel(), [-expected, expected], rtol=1e-3)
    np.testing.assert_allclose(centring.means, [[0.0]], atol=1e-6)


def test_a_class_of_one_domain_stays_where_it_is(shifted):
    z, p, domain, label = shifted
    alone = ~((domain == 1) & (label == 1))
    z, p, domain, label = z[alone], p[alone], domain[alone], label[alone]
    found = fit_centring(z, p, domain, 2).apply(z, log(p), domain)
    np.testing.assert_array_equal(found[label == 1], z[label == 1])
    assert np.abs(found[label == 0] - z[label == 0]).max() > 1


def test_few_rows_are_not_centred(shifted):
    z, p, domain, _ = shifted
    few = (domain == 0) | (np.arange(400) < 200 + 2 * (MIN_ROWS - 1))
    centring = fit_centring(z[few], p[few], domain[few], 2)
    assert not centring.shift.any()


def test_a_new_domain_is_centred_by_its_own_rows(shifted):
    z, p, domain, label = shifted
    centring = fit_centring(z, p, domain, 2)
    known = centring.apply(z, log(p), domain)
    new = z[domain == 0] + np.float32(5)
    found = centring.apply(new, log(p[domain == 0]), np.full(200, 7))
    for k in (0, 1):
        target = known[label == k].mean(0)
        reached = found[label[domain == 0] == k].mean(0)
        assert np.linalg.norm(reached - target) < 0.1 * np.linalg.norm([5, 5, 5])


def test_a_few_rows_of_a_new_domain_are_left_alone(shifted):
    z, p, domain, _ = shifted
    centring = fit_centring(z, p, domain, 2)
    np.testing.assert_array_equal(centring.apply(z[:4], log(p[:4]), np.full(4, 7)), z[:4])


def test_soft_classes_share_the_shift(shifted):
    z, p, domain, _ = shifted
    centring = fit_centring(z, p, domain, 2)
    half = np.full((1, 2), 0.5)
    step = z[:1] - centring.apply(z[:1], log(half), domain[:1])
    np.testing.assert_allclose(step[0], centring.shift[0].mean(axis=0), atol=1e-5)


def test_a_domain_without_rows_and_latents_that_do_not_vary():
    z = np.zeros((40, 3), dtype=np.float32)
    z[:, 0] = np.random.default_rng(0).normal(size=40)
    centring = fit_centring(z, np.full((40, 2), 0.5), np.repeat([0, 2], 20), 3)
    assert np.isfinite(centring.shift).all()
    assert not centring.shift[1].any()
    assert np.isfinite(centring.precision).all()


def test_arrays_give_it_back(shifted):
    z, p, domain, _ = shifted
    centring = fit_centring(z, p, domain, 2)
    again = Centring(**vars(centring))
    np.testing.assert_array_equal(again.apply(z, log(p), domain), centring.apply(z, log(p), domain))
