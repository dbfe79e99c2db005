"""Batches: shares of classes and domains, sizes, length of an epoch."""

import numpy as np
import pytest

from domainvi.data import TransferSampler, _loaders, labelled_weights
from domainvi.data._loaders import MIN_STEPS_PER_EPOCH

SOURCE = np.array([True, False])


def codes(*values):
    return np.array(values, dtype=np.int64)


def test_classes_weigh_the_same_within_a_domain():
    label = codes(0, 0, 0, 0, 1, -1)
    weight = labelled_weights(codes(0, 0, 0, 0, 0, 1), label, SOURCE, 0.6)
    np.testing.assert_allclose(weight, [1 / 8] * 4 + [1 / 2, 0])


def test_labelled_targets_get_their_share():
    domain, label = codes(0, 0, 0, 1, 1, 1), codes(0, 0, 1, 0, 1, -1)
    weight = labelled_weights(domain, label, SOURCE, 0.6)
    np.testing.assert_allclose(weight, [0.1, 0.1, 0.2, 0.3, 0.3, 0])


def test_labels_of_some_classes_in_a_target_leave_the_classes_balanced():
    domain, label = codes(0, 0, 0, 1, 1, 1), codes(0, 0, 1, 0, 0, -1)
    weight = labelled_weights(domain, label, SOURCE, 0.6)
    np.testing.assert_allclose(weight, [0.1, 0.1, 0.5, 0.15, 0.15, 0])


def test_a_class_that_some_domains_lack_still_counts_the_same():
    both = np.array([True, True])
    domain, label = codes(0, 0, 1, 1, 1, 1), codes(0, 1, 0, 0, 0, 0)
    weight = labelled_weights(domain, label, both, 0.6)
    np.testing.assert_allclose([weight[label == c].sum() for c in (0, 1)], [0.5, 0.5])
    np.testing.assert_allclose(weight[0], weight[2:].sum())


@pytest.mark.parametrize("is_source", [[True, True], [False, False]])
def test_without_targets_or_sources_the_share_has_no_effect(is_source):
    domain, label = codes(0, 0, 1), codes(0, 1, 1)
    weight = labelled_weights(domain, label, np.array(is_source), 0.99)
    np.testing.assert_allclose(weight, [0.5, 0.25, 0.25])


def test_without_labels_there_is_no_weight():
    assert not labelled_weights(codes(0, 1), codes(-1, -1), SOURCE, 0.6).any()


def batches(n, batch_size, *, labelled=True):
    weight = np.zeros(n)
    weight[: n // 2] = labelled / (n // 2) if n > 1 else 0
    sampler = TransferSampler(np.arange(n) + 100, weight, batch_size, seed=0)
    return sampler, list(sampler)


def test_half_of_a_batch_is_labelled():
    _, found = batches(50, 16)
    assert all(len(b) == 16 for b in found)
    assert all(set(b[:8]) <= set(range(100, 125)) for b in found)


def test_an_epoch_visits_every_row():
    for n, size in ((50, 16), (7, 4), (1000, 16)):
        sampler, found = batches(n, size)
        visited = np.concatenate([b[sampler.n_labelled :] for b in found])
        assert set(visited) == set(range(100, 100 + n))
        assert len(found) == len(sampler) == max(MIN_STEPS_PER_EPOCH, -(-n // (size // 2)))


def test_without_labels_all_of_a_batch_is_of_any_row(monkeypatch):
    monkeypatch.setattr(_loaders, "MIN_STEPS_PER_EPOCH", 1)
    sampler, found = batches(50, 16, labelled=False)
    assert len(sampler) == 4
    assert all(len(set(b)) == 16 for b in found[:3])


@pytest.mark.parametrize("n", [2, 3, 5, 9, 33, 257])
@pytest.mark.parametrize("batch_size", [4, 16, 256])
@pytest.mark.parametrize("labelled", [True, False])
def test_no_batch_has_a_single_row(n, batch_size, labelled):
    _, found = batches(n, batch_size, labelled=labelled)
    assert min(len(b) for b in found) >= 2
    assert max(len(b) for b in found) <= batch_size


def test_draws_follow_the_weights(monkeypatch):
    monkeypatch.setattr(_loaders, "MIN_STEPS_PER_EPOCH", 1000)
    weight = np.array([0.7, 0.3, 0.0, 0.0])
    sampler = TransferSampler(np.arange(4), weight, 8, seed=0)
    drawn = np.concatenate([b[:4] for b in sampler])
    share = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(share, weight, atol=0.03)


def test_the_seed_decides():
    def draw(seed):
        sampler = TransferSampler(np.arange(30), np.full(30, 1 / 30), 8, seed)
        return [list(sampler), list(sampler)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)
    assert draw(3)[0] != draw(3)[1]
