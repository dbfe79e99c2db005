"""Linear classifiers of many classes on many rows: their components and a solver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from sklearn.utils.extmath import randomized_svd

from ._rows import MAX_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

    Solution = tuple[FloatArray, FloatArray]

# A gene is left out of a class's direction where its mean is within this many standard errors.
N_ERRORS = 2.5
TOLERANCE = 1e-4
MAX_ITERATIONS = 100


def components_and_markers(
    s: NDArray[np.float32], label: IntArray, rank: int
) -> tuple[NDArray[np.float32], FloatArray, FloatArray]:
    """Principal components, and beside them the directions of the classes.

    A class with one row in a thousand has no part in the components. So its direction joins them:
    the mean of its rows, shrunk gene by gene to what chance does not explain, as in nearest
    shrunken centroids (Tibshirani et al., PNAS 2002). All together are made orthogonal and have
    the units of :func:`components`. Components are those of every n-th row, about 6,000 of
    them. Rows are centred in place; ``label`` is -1 where there is none.

    Returns
    -------
    As of :func:`components`, with scores in single precision.
    """
    mean = s.mean(axis=0, dtype=np.float64)
    s -= mean.astype(np.float32)
    some = s[:: -(-len(s) // MAX_ROWS)]
    covariance = some.T @ some / (len(some) - 1)
    error = np.sqrt(covariance.diagonal())
    axes, variance, _ = randomized_svd(covariance, min(rank, len(covariance)), random_state=0)
    basis = np.linalg.qr(np.hstack([axes, class_directions(s, label, error)]).astype(np.float64))[0]
    basis /= max(float(np.sqrt(variance[0])), 1e-12)
    return s @ basis.astype(np.float32), basis, mean


def class_directions(
    s: NDArray[np.float32], label: IntArray, error: NDArray[np.float32]
) -> FloatArray:
    """Shrunken means of the classes of centred rows as unit vectors, ``(n_genes, n)``.

    ``error`` is the standard deviation of each gene.
    """
    found = []
    for c in np.unique(label[label >= 0]):
        own = label == c
        mean = s[own].mean(axis=0, dtype=np.float64)
        shrunk = np.maximum(np.abs(mean) - N_ERRORS * error / np.sqrt(own.sum()), 0)
        if shrunk.any():
            found.append(np.sign(mean) * shrunk / np.linalg.norm(shrunk))
    return np.stack(found, axis=1) if found else np.zeros((s.shape[1], 0))


def fit_softmax(
    features: NDArray[np.float32],
    code: IntArray,
    weight: FloatArray,
    strength: float,
    start: Solution | None = None,
) -> Solution:
    """Minimise what :func:`logistic` does, in single precision, with a start that may be near.

    Every step costs two products of matrices. ``code`` is that of ``n`` classes, all of which have
    rows.

    Returns
    -------
    Coefficients ``(n_features, n)`` and intercepts ``(n,)``.
    """
    n, width = int(code.max()) + 1, features.shape[1]
    share = (weight / weight.sum()).astype(np.float32)
    ridge, rows = 1 / (strength * weight.sum()), np.arange(len(code))

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        coef = theta.reshape(width + 1, n)
        p = features @ coef[:-1].astype(np.float32)
        p += coef[-1].astype(np.float32)
        p -= p.max(axis=1, keepdims=True)
        hit = p[rows, code]
        np.exp(p, out=p)
        total = p.sum(axis=1)
        value = float(share @ (np.log(total) - hit)) + ridge / 2 * float(np.square(coef[:-1]).sum())
        p *= (share / total)[:, None]
        p[rows, code] -= share
        slope = np.vstack([features.T @ p, p.sum(axis=0)]).astype(np.float64)
        slope[:-1] += ridge * coef[:-1]
        return value, slope.ravel()

    theta = np.zeros((width + 1, n)) if start is None else np.vstack([start[0], start[1]])
    options = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps}
    found = minimize(loss, theta.ravel(), jac=True, method="L-BFGS-B", options=options).x
    found = found.reshape(width + 1, n)
    return found[:-1], found[-1]
