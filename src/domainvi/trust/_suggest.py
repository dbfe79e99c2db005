"""Which rows to label next: spread over predicted classes and latents, unsure rows first."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

# More rows of a class add nothing to where its clusters are, and take long.
MAX_ROWS = 5000
# What a row that is sure counts in the clusters; one without any idea counts one more.
SURE = 0.5


def suggest_rows(
    z: NDArray[np.floating], p: FloatArray, n: int, seed: int = 0
) -> tuple[IntArray, IntArray]:
    """Choose rows to label: each predicted class as often, and within it one row of each cluster.

    The rows of a class are clustered by k-means, each row with a weight that rises with its doubt,
    and the row nearest to each centre is chosen.

    Parameters
    ----------
    z, p
        Latents ``(n_rows, n_latent)`` and class probabilities ``(n_rows, n_classes)``.
    n
        Rows to choose; all of them where there are fewer.
    seed
        Random seed of the clusters.

    Returns
    -------
    Row numbers, one of each class before a second of any, large clusters first; and how many rows
    each stands for.

    Examples
    --------
    >>> z = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [9.0]])
    >>> p = np.array([[0.9, 0.1]] * 6 + [[0.2, 0.8]])
    >>> rows, represented = suggest_rows(z, p, 3)
    >>> sorted(rows.tolist()), sorted(represented.tolist())
    ([1, 4, 6], [1, 3, 3])
    """
    predicted, sure = p.argmax(axis=1), p.max(axis=1)
    rng = np.random.default_rng(seed)
    chosen: list[tuple[int, float, int, int]] = []
    for c, k in zip(*quotas(predicted, n), strict=True):
        rows = np.flatnonzero(predicted == c)
        n_rows, doubt = len(rows), 1 - float(sure[rows].mean())
        if len(rows) > MAX_ROWS:
            rows = np.sort(rng.choice(rows, MAX_ROWS, replace=False))
        nearest, size = centres(z[rows], SURE + 1 - sure[rows], int(k), seed)
        largest = np.argsort(-size, kind="stable")
        # Clusters of a sample stand for all rows of the class, and sum to them.
        upto = np.rint(np.cumsum(size[largest]) * n_rows / len(rows))
        turns = enumerate(zip(rows[nearest][largest], np.diff(upto, prepend=0), strict=True))
        chosen += [(turn, -doubt, int(row), int(s)) for turn, (row, s) in turns]
    chosen.sort()
    return np.array([row for *_, row, _ in chosen]), np.array([s for *_, s in chosen])


def quotas(predicted: IntArray, n: int) -> tuple[IntArray, IntArray]:
    """Share ``n`` rows among the classes that there are, as evenly as their rows allow.

    Examples
    --------
    >>> [q.tolist() for q in quotas(np.array([0, 0, 0, 0, 2]), 4)]
    [[0, 2], [3, 1]]
    """
    classes, count = np.unique(predicted, return_counts=True)
    quota = np.zeros_like(count)
    for _ in range(min(n, len(predicted))):
        free = np.flatnonzero(quota < count)
        quota[free[np.argmin(quota[free])]] += 1
    return classes[quota > 0], quota[quota > 0]


def centres(
    z: NDArray[np.floating], weight: FloatArray, k: int, seed: int
) -> tuple[IntArray, IntArray]:
    """Find the rows nearest to the centres of ``k`` clusters, and the rows of each cluster.

    Where many rows are the same, there are fewer clusters, and the heaviest other rows make it k.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(k, n_init=10, random_state=seed).fit(z, sample_weight=weight)
    distance = found.transform(z)
    clusters, own, size = np.unique(found.labels_, return_inverse=True, return_counts=True)
    inside = [np.flatnonzero(own == i) for i in range(len(clusters))]
    nearest = [i[np.argmin(distance[i, c])] for i, c in zip(inside, clusters, strict=True)]
    others = np.setdiff1d(np.arange(len(z)), nearest)
    others = others[np.argsort(-weight[others], kind="stable")[: k - len(nearest)]]
    size -= np.bincount(own[others], minlength=len(size))
    return np.r_[nearest, others].astype(np.int64), np.r_[size, np.ones_like(others)]
