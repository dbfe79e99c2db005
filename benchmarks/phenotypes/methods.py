"""Methods: a trial in, for each target class probabilities or values of all rows out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV

from domainvi import DomainVI, metrics
from domainvi.tl import standardise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.phenotypes.trials import Trial

    Predictions = dict[str, pd.DataFrame]
    Method = Callable[[Trial, int], tuple[Predictions, float | None]]

N_TREES = 500
QUIET: dict[str, Any] = {"enable_progress_bar": False, "accelerator": "cpu"}


def domainvi(trial: Trial, seed: int) -> tuple[Predictions, float | None]:
    """DomainVI on all rows, with the targets beside the main phenotype; also its macro-F1."""
    targets = list(trial.truth)
    model = _trained(trial, seed, targets)
    found = {t: model.predict(target=t, soft=True) for t in targets}
    return found, _main_score(model, trial)


def domainvi_unseen(trial: Trial, seed: int) -> tuple[Predictions, float | None]:
    """DomainVI trained without the hidden rows, which it then meets as a new cohort."""
    targets = list(trial.truth)
    shown = trial.adata[~trial.hidden].copy()
    model = _setup(shown, seed, targets)
    model.train(**QUIET)
    return {t: model.predict(trial.adata, target=t, soft=True) for t in targets}, None


def domainvi_main(trial: Trial, seed: int) -> tuple[Predictions, float | None]:
    """DomainVI without targets, for the macro-F1 of the main phenotype."""
    return {}, _main_score(_trained(trial, seed, None), trial)


def _setup(adata: Any, seed: int, targets: list[str] | None) -> DomainVI:
    DomainVI.setup_anndata(adata, "cohort", "label", target_keys=targets)
    return DomainVI(adata, seed=seed)


def _trained(trial: Trial, seed: int, targets: list[str] | None) -> DomainVI:
    model = _setup(trial.adata.copy(), seed, targets)
    model.train(**QUIET)
    return model


def _main_score(model: DomainVI, trial: Trial) -> float:
    return metrics.macro_f1(trial.main[trial.scored], model.predict()[trial.scored])


def _each(trial: Trial, x: NDArray[np.floating], make: Callable[[bool], Any]) -> Predictions:
    """Fit an estimator to the shown rows of each target."""
    found = {}
    for target, column in trial.truth.items():
        rows = np.flatnonzero(~trial.hidden & column.notna())
        numeric = column.dtype == float
        estimator = make(numeric).fit(x[rows], column.iloc[rows].to_numpy())
        if numeric:
            out = pd.DataFrame({"value": estimator.predict(x)})
        else:
            out = pd.DataFrame(estimator.predict_proba(x), columns=estimator.classes_)
        found[str(target)] = out.set_index(trial.adata.obs_names)
    return found


def _z(trial: Trial) -> NDArray[np.float64]:
    x, cohort = trial.x.astype(np.float64), trial.adata.obs["cohort"].to_numpy()
    for name in np.unique(cohort):
        x[cohort == name] = standardise(x[cohort == name], x[cohort == name])
    return x


def _forest(seed: int) -> Callable[[bool], Any]:
    def make(numeric: bool) -> Any:
        if numeric:
            return RandomForestRegressor(N_TREES, max_features="sqrt", random_state=seed)
        return RandomForestClassifier(N_TREES, class_weight="balanced", random_state=seed)

    return make


def random_forest(trial: Trial, seed: int) -> tuple[Predictions, float | None]:
    """Random forest on log values, the square root of the genes at each split."""
    return _each(trial, trial.x, _forest(seed)), None


def random_forest_z(trial: Trial, seed: int) -> tuple[Predictions, float | None]:
    """Random forest on values standardised within each cohort."""
    return _each(trial, _z(trial), _forest(seed)), None


def linear_z(trial: Trial, seed: int) -> tuple[Predictions, float | None]:
    """Logistic or ridge regression on values standardised within each cohort."""

    def make(numeric: bool) -> Any:
        if numeric:
            return RidgeCV(np.logspace(2, 5, 7))
        return LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)

    return _each(trial, _z(trial), make), None


def guess(trial: Trial, seed: int) -> tuple[Predictions, float | None]:
    """Guess the most frequent class, or the mean."""
    return _each(
        trial, trial.x, lambda numeric: DummyRegressor() if numeric else DummyClassifier()
    ), None


METHODS: dict[str, Method] = {
    "guess": guess,
    "linear_z": linear_z,
    "random_forest": random_forest,
    "random_forest_z": random_forest_z,
    "domainvi": domainvi,
    "domainvi_main": domainvi_main,
    "domainvi_unseen": domainvi_unseen,
}
