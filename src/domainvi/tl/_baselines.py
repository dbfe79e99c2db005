"""Classical label transfer, the yardstick that every benchmark here is read against.

All of them are scikit-learn models on pooled arrays, so that a benchmark can run them in turn.
Those in ``BASELINES`` predict classes: they learn from the rows with a label, and return class
probabilities of every row, ``(n_rows, n_classes)``. Those in ``REGRESSORS`` predict numbers: they
learn from the rows whose ``value`` is not NaN, and return one number for every row.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.svm import LinearSVC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

_CONSTANT = 1e-8
_PENALTIES = np.geomspace(10, 1e6, 11)


@dataclasses.dataclass(frozen=True)
class TransferData:
    """Pooled rows of every cohort, as the classical methods take them.

    Parameters
    ----------
    x
        Values on a log scale, ``(n_rows, n_genes)``.
    domain
        Code of the cohort of each row.
    label
        Code of the class of each row, -1 where no label may be seen.
    is_source
        Rows of the reference. They set the scale of ``lr_source`` and are moved by ``coral_lr``.
    n_classes
        Number of classes, the width of the returned probabilities.
    """

    x: NDArray[np.float64]
    domain: NDArray[np.int64]
    label: NDArray[np.int64]
    is_source: NDArray[np.bool_]
    n_classes: int


def standardise(x: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale columns with the mean and deviation of reference rows; constant ones are centred."""
    scale = reference.std(axis=0)
    return (x - reference.mean(axis=0)) / np.where(scale < _CONSTANT, 1.0, scale)


def scale_by_source(data: TransferData) -> TransferData:
    """Scale every row with the mean and standard deviation of the source rows."""
    return dataclasses.replace(data, x=standardise(data.x, data.x[data.is_source]))


def scale_by_domain(data: TransferData) -> TransferData:
    """Scale every cohort with its own mean and standard deviation."""
    x = np.empty_like(data.x)
    for domain in np.unique(data.domain):
        rows = data.domain == domain
        x[rows] = standardise(data.x[rows], data.x[rows])
    return dataclasses.replace(data, x=x)


def _fit_predict(estimator: Any, data: TransferData) -> NDArray[np.float64]:
    """Fit on the labelled rows; a class without a labelled row gets probability 0."""
    known = data.label >= 0
    present = np.unique(data.label[known])
    probabilities = np.zeros((data.x.shape[0], data.n_classes))
    if present.size == 1:
        probabilities[:, present[0]] = 1.0
        return probabilities
    estimator.fit(data.x[known], data.label[known])
    if hasattr(estimator, "predict_proba"):
        probabilities[:, present] = estimator.predict_proba(data.x)
        return probabilities
    margin = np.asarray(estimator.decision_function(data.x))
    if margin.ndim == 1:
        margin = np.column_stack([-margin / 2, margin / 2])
    probabilities[:, present] = softmax(margin, axis=1)
    return probabilities


def _logistic_regression() -> LogisticRegression:
    return LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)


def lr_source(data: TransferData, *, seed: int = 0) -> NDArray[np.float64]:
    """Logistic regression on the scale of the source; it sees nothing of the target's values."""
    return _fit_predict(_logistic_regression(), scale_by_source(data))


def lr_z(data: TransferData, *, seed: int = 0) -> NDArray[np.float64]:
    """Logistic regression on values standardised within each cohort."""
    return _fit_predict(_logistic_regression(), scale_by_domain(data))


def coral_lr(data: TransferData, *, seed: int = 0) -> NDArray[np.float64]:
    """Logistic regression after the source's covariance was matched to the target's.

    CORAL of Sun, Feng and Saenko (2016, doi:10.1609/aaai.v30i1.10306), with an identity added to
    both covariances, on 100 principal components of the values standardised within each cohort.
    """
    x = scale_by_domain(data).x
    n_components = min(100, min(x.shape) - 1)
    x = PCA(n_components, random_state=seed).fit_transform(x)
    if not data.is_source.all():
        x[data.is_source] = _coral(x[data.is_source], x[~data.is_source])
    return _fit_predict(_logistic_regression(), dataclasses.replace(data, x=x))


def _coral(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    whiten = _matrix_power(_regular_covariance(source), -0.5)
    return source @ whiten @ _matrix_power(_regular_covariance(target), 0.5)


def _regular_covariance(x: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance = np.cov(x, rowvar=False) if len(x) > 1 else np.zeros((x.shape[1],) * 2)
    return np.atleast_2d(covariance) + np.eye(x.shape[1])


def _matrix_power(matrix: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * values**power) @ vectors.T)


def random_forest(data: TransferData, *, seed: int = 0) -> NDArray[np.float64]:
    """Random forest of 500 trees on values standardised within each cohort."""
    forest = RandomForestClassifier(500, class_weight="balanced", random_state=seed)
    return _fit_predict(forest, scale_by_domain(data))


def gradient_boosting(data: TransferData, *, seed: int = 0) -> NDArray[np.float64]:
    """Gradient-boosted trees on values standardised within each cohort.

    Leaves of five rows and a tenth of the genes at each split, since cohorts are small and wide.
    """
    trees = HistGradientBoostingClassifier(
        class_weight="balanced",
        min_samples_leaf=5,
        max_leaf_nodes=15,
        max_features=0.1,
        early_stopping=False,
        random_state=seed,
    )
    return _fit_predict(trees, scale_by_domain(data))


def linear_svm(data: TransferData, *, seed: int = 0) -> NDArray[np.float64]:
    """Linear support vector machine on values standardised within each cohort.

    Its probabilities are a softmax of the margins and not calibrated.
    """
    machine = LinearSVC(C=0.01, class_weight="balanced", random_state=seed, max_iter=5000)
    return _fit_predict(machine, scale_by_domain(data))


def majority(data: TransferData, *, seed: int = 0) -> NDArray[np.float64]:
    """Give every row the class frequencies of the labelled rows."""
    known = data.label[data.label >= 0]
    frequency = np.bincount(known, minlength=data.n_classes) / known.size
    return np.tile(frequency, (data.x.shape[0], 1))


def _fit_numbers(
    estimator: Any, data: TransferData, value: NDArray[np.float64]
) -> NDArray[np.float64]:
    shown = np.isfinite(value)
    return np.asarray(estimator.fit(data.x[shown], value[shown]).predict(data.x))


def ridge(data: TransferData, value: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64]:
    """Ridge regression on the scale of the source, its penalty from leave-one-out errors."""
    return _fit_numbers(RidgeCV(_PENALTIES), scale_by_source(data), value)


def ridge_z(
    data: TransferData, value: NDArray[np.float64], *, seed: int = 0
) -> NDArray[np.float64]:
    """Ridge regression on values standardised within each cohort."""
    return _fit_numbers(RidgeCV(_PENALTIES), scale_by_domain(data), value)


def regression_forest(
    data: TransferData, value: NDArray[np.float64], *, seed: int = 0
) -> NDArray[np.float64]:
    """Random forest of 200 trees on values standardised within each cohort.

    Leaves of five rows and a third of the genes at each split, Breiman's advice for regression.
    """
    forest = RandomForestRegressor(200, max_features=1 / 3, min_samples_leaf=5, random_state=seed)
    return _fit_numbers(forest, scale_by_domain(data), value)


def mean(data: TransferData, value: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64]:
    """Give every row the mean of the values shown."""
    return np.full(len(value), np.nanmean(value))


BASELINES: Mapping[str, Callable[..., NDArray[np.float64]]] = {
    "lr_source": lr_source,
    "lr_z": lr_z,
    "coral_lr": coral_lr,
    "random_forest": random_forest,
    "gradient_boosting": gradient_boosting,
    "linear_svm": linear_svm,
    "majority": majority,
}
REGRESSORS: Mapping[str, Callable[..., NDArray[np.float64]]] = {
    "ridge": ridge,
    "ridge_z": ridge_z,
    "random_forest": regression_forest,
    "mean": mean,
}
