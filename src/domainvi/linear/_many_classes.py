"""Linear classifiers of many classes on many rows: their components and a solver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from sklearn.utils.extmath import randomized_svd

from ._rows import MAX_ROWS, blocks
from ._statistics import standardise

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from domainvi._checks import FloatArray, IntArray

    from ._rows import TrainingRows
    from ._statistics import ScalingStatistics

    Solution = tuple[FloatArray, FloatArray]

# A gene is left out of a class's direction where its mean is within this many standard errors.
N_ERRORS = 2.5
# A fit ends when no slope of the mean loss is above either; the latter is a fifth of what the rows
# of a class of average weight can pull.
TOLERANCE, TOLERANCE_OF_CLASS = 1e-3, 0.2
MAX_ITERATIONS = 100
# Powers of the covariance, whose spectrum is that of the rows squared, and so falls fast.
N_POWERS = 2


def components_and_markers(
    rows: TrainingRows, statistics: ScalingStatistics, gene_weight: FloatArray, rank: int
) -> tuple[NDArray[np.float32], FloatArray, FloatArray]:
    """Principal components of standardised rows, and beside them the directions of the classes.

    A class with one row in a thousand has no part in the components. So its direction joins them:
    the mean of its rows, shrunk gene by gene to what chance does not explain, as in nearest
    shrunken centroids (Tibshirani et al., PNAS 2002). All together are made orthogonal and have
    the units of :func:`components`. Mean and components are those of every n-th row, about
    6,000 of them, and a few rows are standardised at a time.

    Returns
    -------
    As of :func:`components`, with scores in single precision.
    """

    def standardised(some: Any) -> NDArray[np.floating]:
        part = rows.x[some], rows.domain[some]
        return standardise(*part, statistics, gene_weight, np.float32)

    n = len(rows.x)
    s = standardised(slice(None, None, -(-n // MAX_ROWS)))
    mean = s.mean(axis=0, dtype=np.float64)
    s -= mean.astype(np.float32)
    covariance = s.T @ s / (len(s) - 1)
    k = min(rank, len(covariance))
    axes, variance, _ = randomized_svd(covariance, k, n_iter=N_POWERS, random_state=0)
    classes = [np.flatnonzero(rows.label == c) for c in range(rows.n_classes)]
    centres = [standardised(own).mean(axis=0) - mean for own in classes if len(own)]
    count = np.array([len(own) for own in classes if len(own)])
    directions = class_directions(np.array(centres), count, np.sqrt(covariance.diagonal()))
    basis = np.linalg.qr(np.hstack([axes, directions]).astype(np.float64))[0]
    basis /= max(float(np.sqrt(variance[0])), 1e-12)
    short, origin = basis.astype(np.float32), (mean @ basis).astype(np.float32)
    scores = np.empty((n, basis.shape[1]), dtype=np.float32)
    for some in blocks(n):
        scores[some] = standardised(some) @ short - origin
    return scores, basis, mean


def class_directions(
    centres: FloatArray, count: IntArray, deviation: NDArray[np.floating]
) -> FloatArray:
    """Shrunken class means as unit vectors, ``(n_genes, n)``; a class that is left with none drops.

    Parameters
    ----------
    centres, count
        Means and numbers of the rows of each class, ``(n_classes, n_genes)`` and ``(n_classes,)``.
    deviation
        Standard deviation of each gene.
    """
    least = N_ERRORS * deviation / np.sqrt(count)[:, None]
    shrunk = np.sign(centres) * np.maximum(np.abs(centres) - least, 0)
    length = np.linalg.norm(shrunk, axis=1)
    return (shrunk[length > 0] / length[length > 0, None]).T


def fit_softmax(
    features: NDArray[np.float32],
    target: csr_array,
    strength: float,
    start: Solution | None = None,
) -> Solution:
    r"""Minimise what :func:`logistic` does, in single precision, with a start that may be near.

    With weights :math:`t_{ik}` of the classes in the rows and :math:`W` their sum, it is
    :math:`-\sum_{ik} t_{ik} \log p_{ik} / W + \lVert B \rVert^2 / (2 C W)`. Every step costs two
    products of matrices, and a row that has two classes no more than one that has one.

    Parameters
    ----------
    features
        Rows, ``(n_rows, n_features)``.
    target
        :math:`t`, ``(n_rows, n)``; every class has some.
    strength
        :math:`C`.
    start
        Coefficients and intercepts to begin at.

    Returns
    -------
    Coefficients ``(n_features, n)`` and intercepts ``(n,)``.
    """
    n, width, whole = target.shape[1], features.shape[1], float(target.sum())
    share = (target.sum(axis=1) / whole).astype(np.float32)
    ridge, entries = 1 / (strength * whole), target.tocoo()
    rows, code, part = entries.row, entries.col, (entries.data / whole).astype(np.float32)

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        coef = theta.reshape(width + 1, n)
        p = features @ coef[:-1].astype(np.float32)
        p += coef[-1].astype(np.float32)
        p -= p.max(axis=1, keepdims=True)
        hit = p[rows, code]
        np.exp(p, out=p)
        total = p.sum(axis=1)
        value = float(share @ np.log(total) - part @ hit)
        value += ridge / 2 * float(np.square(coef[:-1]).sum())
        p *= (share / total)[:, None]
        p[rows, code] -= part
        slope = np.vstack([features.T @ p, p.sum(axis=0)]).astype(np.float64)
        slope[:-1] += ridge * coef[:-1]
        return value, slope.ravel()

    theta = np.zeros((width + 1, n)) if start is None else np.vstack([start[0], start[1]])
    tolerance = min(TOLERANCE, TOLERANCE_OF_CLASS / n)
    options = {"maxiter": MAX_ITERATIONS, "gtol": tolerance, "ftol": 64 * np.finfo(float).eps}
    found = minimize(loss, theta.ravel(), jac=True, method="L-BFGS-B", options=options).x
    found = found.reshape(width + 1, n)
    return found[:-1], found[-1]
