"""Rows to label next: spread over classes and clusters, each once."""

from __future__ import annotations

import numpy as np
import pytest

from domainvi.trust import suggest_rows


@pytest.fixture
def blobs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents, probabilities and clusters: two classes, each of 40, 20 and 10 rows in clusters."""
    cluster = np.repeat(np.arange(6), [40, 20, 10] * 2)
    z = rng.normal(0, 0.1, (140, 5)) + 5 * np.eye(6)[cluster][:, :5]
    p = np.where((cluster < 3)[:, None], [0.9, 0.1], [0.3, 0.7])
    return z, p, cluster


def test_each_cluster_of_each_class_has_one_row(blobs) -> None:
    z, p, cluster = blobs
    rows, represented = suggest_rows(z, p, 6)
    assert sorted(cluster[rows]) == list(range(6))
    np.testing.assert_array_equal(represented, np.bincount(cluster)[cluster[rows]])
    # The class that is less sure comes first in each turn, and large clusters come first.
    assert cluster[rows].tolist() == [3, 0, 4, 1, 5, 2]


def test_unsure_rows_draw_the_centres(rng: np.random.Generator) -> None:
    z = np.sort(rng.normal(size=(200, 1)), axis=0)
    unsure = z[:, 0] > 1.5
    p = np.where(unsure[:, None], [0.5, 0.45], [0.999, 0.001])
    (row,), _ = suggest_rows(z, p, 1)
    (plain,), _ = suggest_rows(z, np.tile([0.9, 0.1], (200, 1)), 1)
    assert z[row, 0] > z[plain, 0]


@pytest.mark.parametrize("n", [1, 7, 50, 1000])
def test_rows_come_once_and_as_many_as_there_are(blobs, n: int) -> None:
    z, p, _ = blobs
    rows, represented = suggest_rows(z, p, n)
    assert len(set(rows.tolist())) == len(rows) == len(represented) == min(n, len(z))
    again, _ = suggest_rows(z, p, n)
    np.testing.assert_array_equal(rows, again)


def test_rows_that_are_all_the_same() -> None:
    rows, represented = suggest_rows(np.zeros((10, 3)), np.tile([0.6, 0.4], (10, 1)), 4)
    assert len(set(rows.tolist())) == 4
    assert represented.tolist() == [7, 1, 1, 1]


def test_large_classes_are_thinned(rng: np.random.Generator, monkeypatch) -> None:
    monkeypatch.setattr("domainvi.trust._suggest.MAX_ROWS", 50)
    rows, represented = suggest_rows(rng.normal(size=(400, 4)), np.tile([0.6, 0.4], (400, 1)), 5)
    assert len(set(rows.tolist())) == 5
    assert represented.sum() == 400
    assert represented.min() > 1
