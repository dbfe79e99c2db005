"""Linear classifiers on principal components of standardised rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import svd
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.extmath import randomized_svd, svd_flip

from ._many_classes import components_and_markers, fit_softmax
from ._rows import FEW_CLASSES, MAX_ROWS
from ._statistics import ScalingStatistics, standardise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

    from ._rows import TrainingRows

RANK = 100
# An absent class keeps this log-odds, which is nothing beside those of the others.
ABSENT = -30.0


def components(
    s: NDArray[np.floating], rank: int = RANK
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Principal components in units of the first one's standard deviation, not whitened.

    Rows in double precision are centred in place, to spare a second copy of them.

    Returns
    -------
    Scores ``(n_rows, k)``, the map from genes ``(n_genes, k)`` and the mean ``(n_genes,)``.
    """
    k = min(rank, s.shape[0] - 1, s.shape[1])
    s = s.astype(np.float64, copy=False)
    mean = s.mean(axis=0)
    s -= mean
    # scikit-learn's PCA would do the same with a second copy of the rows.
    if min(s.shape) > 400:
        u, length, axes = randomized_svd(s, k, flip_sign=False, random_state=0)
    else:
        u, length, axes = svd(s, full_matrices=False)
    _, axes = svd_flip(u, axes, u_based_decision=False)
    spread = max(float(length[0] / np.sqrt(len(s) - 1)), 1e-12)
    basis = axes[:k].T / spread
    return s @ basis, basis, mean


def features_of(
    rows: TrainingRows, statistics: ScalingStatistics, gene_weight: FloatArray
) -> tuple[Any, FloatArray, FloatArray]:
    """Components of standardised rows; many rows of many classes have directions of these, too."""
    if len(rows.x) > MAX_ROWS and rows.n_classes > FEW_CLASSES:
        return components_and_markers(rows, statistics, gene_weight, RANK)
    return components(standardise(rows.x, rows.domain, statistics, gene_weight))


def logistic(
    features: NDArray[np.floating],
    label: IntArray,
    weight: FloatArray,
    n_classes: int,
    strength: float = 1.0,
    start: tuple[FloatArray, FloatArray] | None = None,
    second: tuple[IntArray, FloatArray] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Fit a multinomial logistic regression to the rows with weight; scores for every class.

    ``second`` has other labels of the same rows, and their weights. Rows in single precision have a
    solver of their own, which goes on from ``start``.

    Returns
    -------
    Coefficients ``(n_features, n_classes)`` and intercepts ``(n_classes,)``.
    """
    given = [(label, weight)] if second is None else [(label, weight), second]
    coef, intercept = np.zeros((features.shape[1], n_classes)), np.full(n_classes, ABSENT)
    at = [np.flatnonzero(w > 0) for _, w in given]
    rows = np.concatenate(at)
    label, weight = (
        np.concatenate([values[i][some] for values, some in zip(given, at, strict=True)])
        for i in (0, 1)
    )
    present, code = np.unique(label, return_inverse=True)
    if len(present) == 1:
        intercept[present] = 0.0
        return coef, intercept
    if features.dtype == np.float32:
        near = None if start is None else (start[0][:, present], start[1][present])
        used, place = np.unique(rows, return_inverse=True)
        target = csr_array((weight, (place, code)), (len(used), len(present)))
        part = features if len(used) == len(features) else features[used]
        coef[:, present], intercept[present] = fit_softmax(part, target, strength, near)
        return coef, intercept
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = LogisticRegression(C=strength, tol=1e-3, max_iter=300).fit(
            features if len(rows) == len(features) and second is None else features[rows],
            label,
            sample_weight=weight,
        )
    if len(present) == 2:
        coef[:, present[1]], intercept[present] = fit.coef_[0], (0.0, fit.intercept_[0])
    else:
        coef[:, present], intercept[present] = fit.coef_.T, fit.intercept_
    return coef, intercept


@dataclass(frozen=True)
class LinearMember:
    """A fitted linear classifier on standardised genes.

    Parameters
    ----------
    statistics
        Centre and scale by domain.
    coef, intercept
        Scores of the classes, ``(n_genes, n_classes)`` and ``(n_classes,)``.
    weight
        Weight of the classifier in the average.
    """

    statistics: ScalingStatistics
    coef: FloatArray
    intercept: FloatArray
    weight: float


@dataclass
class View:
    """One way of looking at the rows, and the classifier on it.

    Parameters
    ----------
    rows, statistics
        The rows, and the centre and scale by which they are standardised.
    gene_weight, weight
        Weight of each gene in the components, and of the view in the vote.
    uses_target_labels
        Whether its classifier is fitted to labelled rows of target domains too.
    depends_on_labels
        Whether the statistics are those of the labelled rows, and change with the labels.
    solution
        Coefficients and intercepts of the last fit, on weighted genes, from which a fit to many
        rows goes on.
    """

    rows: TrainingRows
    statistics: ScalingStatistics
    gene_weight: FloatArray
    weight: float = 1.0
    uses_target_labels: bool = True
    depends_on_labels: bool = False
    solution: tuple[FloatArray, FloatArray] | None = None

    def __post_init__(self) -> None:
        parts = features_of(self.rows, self.statistics, self.gene_weight)
        self.features, self.basis, self.mean = parts

    def fit(
        self, label: IntArray, weight: FloatArray, second: tuple[IntArray, FloatArray] | None = None
    ) -> None:
        """Fit the classifier to labels with weights, and to second ones of the same rows."""
        features, k, start = self.features, self.rows.n_classes, None
        # Many rows of many classes are in single precision, and their fit goes on.
        if self.solution is not None and features.dtype == np.float32:
            start = self.start(*self.solution)
        fitted = logistic(features, label, weight, k, start=start, second=second)
        self.coef, self.intercept = fitted
        coef, intercept = (values.astype(features.dtype) for values in fitted)
        self.probs = self.rows.restrict(softmax(features @ coef + intercept, axis=1))
        coef = self.basis @ self.coef
        self.solution = coef, self.intercept - self.mean @ coef

    def start(self, coef: FloatArray, intercept: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bring a solution on weighted genes to the components of today."""
        # The axes are orthogonal and of the same length.
        axes = self.basis / np.square(self.basis[:, 0]).sum()
        return axes.T @ coef, intercept + self.mean @ coef

    def member(self) -> LinearMember:
        """Return the classifier as it stands, on standardised genes."""
        coef, intercept = self.solution or (self.coef, self.intercept)
        return LinearMember(
            self.statistics, self.gene_weight[:, None] * coef, intercept, self.weight
        )


def average(views: dict[str, View]) -> FloatArray:
    """Average what views say by their weights, ``(n_rows, n_classes)``, not sharpened."""
    whole = sum(v.weight for v in views.values())
    out = np.zeros(next(iter(views.values())).probs.shape)
    for view in views.values():
        out += view.weight / whole * view.probs
    return out


def balanced_weights(
    rows: TrainingRows, target_share: FloatArray, *, use_target: bool = True
) -> FloatArray:
    """Weight of labelled rows: classes the same, target rows ``target_share`` of each that has any.

    Of more than 25 classes each counts by the square root of its rows: with a long tail, a row in
    a hundred of a frequent class that is taken for a rare one is more than the rare class has.

    Parameters
    ----------
    rows
        The rows.
    target_share
        Share of each class that its target rows get, shape ``(n_classes,)``.
    use_target
        Whether target rows get any.
    """
    groups = (rows.labelled & rows.in_source, rows.labelled & ~rows.in_source & use_target)
    count = np.stack([np.bincount(rows.label[g], minlength=rows.n_classes) for g in groups])
    share = np.stack([1 - target_share, target_share]) * (count > 0)
    share /= np.maximum(share.sum(axis=0), 1e-12)
    if rows.n_classes > FEW_CLASSES:
        share *= np.sqrt(count.sum(axis=0))
    weight = np.zeros(len(rows.label))
    for group, n, part in zip(groups, count, share, strict=True):
        weight[group] = (part / np.maximum(n, 1))[rows.label[group]]
    return weight * (rows.labelled.sum() / weight.sum())


def sharpen(probs: FloatArray, power: float) -> FloatArray:
    """Raise probabilities to a power and normalise them again."""
    p = np.maximum(probs, 1e-6) ** power
    return p / p.sum(axis=1, keepdims=True)


def agreement(p: FloatArray, q: FloatArray) -> float:
    """Cohen's kappa of two sets of class probabilities of the same rows, at least 0 (Cohen 1960).

    Examples
    --------
    >>> from domainvi.linear._members import agreement
    >>> agreement(np.eye(2)[[0, 1, 0, 1]], np.eye(2)[[0, 1, 1, 1]])
    0.5
    """
    a, b, k = p.argmax(axis=1), q.argmax(axis=1), p.shape[1]
    chance = float(np.bincount(a, minlength=k) @ np.bincount(b, minlength=k)) / len(a) ** 2
    return max((float(np.mean(a == b)) - chance) / max(1 - chance, 1e-6), 0.0)
