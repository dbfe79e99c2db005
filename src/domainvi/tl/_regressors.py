"""Classical transfer of a numeric phenotype: the counterpart of the classifiers' baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV

from ._baselines import scale_by_domain, scale_by_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ._baselines import TransferData

_PENALTIES = np.geomspace(10, 1e6, 11)
_TREES = 200


class Regressor(Protocol):
    """A method: it learns from the rows with a value and predicts one for every row."""

    def __call__(
        self, data: TransferData, value: NDArray[np.float64], *, seed: int = 0
    ) -> NDArray[np.float64]:
        """Return predictions, ``(n_rows,)``; ``value`` is NaN where it may not be seen."""
        ...


def _fit_predict(
    estimator: Any, data: TransferData, value: NDArray[np.float64]
) -> NDArray[np.float64]:
    shown = np.isfinite(value)
    return np.asarray(estimator.fit(data.x[shown], value[shown]).predict(data.x))


def ridge(data: TransferData, value: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64]:
    """Ridge regression on the scale of the source, its penalty from leave-one-out errors."""
    return _fit_predict(RidgeCV(_PENALTIES), scale_by_source(data), value)


def ridge_z(
    data: TransferData, value: NDArray[np.float64], *, seed: int = 0
) -> NDArray[np.float64]:
    """Ridge regression on values standardised within each cohort."""
    return _fit_predict(RidgeCV(_PENALTIES), scale_by_domain(data), value)


def random_forest(
    data: TransferData, value: NDArray[np.float64], *, seed: int = 0
) -> NDArray[np.float64]:
    """Random forest of 200 trees on values standardised within each cohort.

    Leaves of five rows and a third of the genes at each split, Breiman's advice for regression.
    """
    forest = RandomForestRegressor(
        _TREES, max_features=1 / 3, min_samples_leaf=5, random_state=seed
    )
    return _fit_predict(forest, scale_by_domain(data), value)


def mean(data: TransferData, value: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64]:
    """Give every row the mean of the values shown."""
    return np.full(len(value), np.nanmean(value))


REGRESSORS: Mapping[str, Regressor] = {
    "ridge": ridge,
    "ridge_z": ridge_z,
    "random_forest": random_forest,
    "mean": mean,
}
