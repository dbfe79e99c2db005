"""The phenotype that a benchmark predicts: classes or numbers, each with its methods and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

from domainvi import metrics

from ._baselines import BASELINES, REGRESSORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ._baselines import TransferData
    from ._cohorts import Cohorts
    from ._protocols import Trial

CLASS_SCORES = ("macro_f1", "balanced_accuracy", "accuracy", "worst_recall", "auroc", "ece", "nll")
NUMBER_SCORES = ("r2", "mae")
_CLASSICAL = {
    "logistic_regression": "lr_source",
    "logistic_regression_z": "lr_z",
    "coral": "coral_lr",
    "random_forest": "random_forest",
    "gradient_boosting": "gradient_boosting",
    "linear_svm": "linear_svm",
    "majority": "majority",
}


class ClassPhenotype:
    """A phenotype with classes.

    Parameters
    ----------
    cohorts
        The data.
    train_kwargs
        Passed to :meth:`domainvi.DomainVI.train`.
    """

    scores: ClassVar = CLASS_SCORES
    floor: ClassVar = "majority"
    methods: ClassVar = ("domainvi", *_CLASSICAL)
    usual: ClassVar = ("domainvi", "logistic_regression", "logistic_regression_z", "random_forest")

    def __init__(self, cohorts: Cohorts, train_kwargs: Mapping[str, Any]) -> None:
        self.cohorts, self.train_kwargs = cohorts, train_kwargs

    def run(self, trial: Trial, arrays: TransferData, method: str, seed: int) -> dict[str, float]:
        """Run one method and score it."""
        if method == "domainvi":
            soft = _domainvi(self.cohorts, trial, seed, self.train_kwargs)
            probabilities = soft.reindex(columns=self.cohorts.classes, fill_value=0.0).to_numpy()
        else:
            probabilities = BASELINES[_CLASSICAL[method]](arrays, seed=seed)
        truth = self.cohorts.rows.label[trial.scored]
        return score_probabilities(truth, probabilities[trial.scored[trial.used]])


class NumberPhenotype:
    """A numeric phenotype, such as age.

    Parameters
    ----------
    cohorts
        The data. DomainVI takes part if they have a main phenotype beside the numeric one.
    train_kwargs
        Passed to :meth:`domainvi.DomainVI.train`.
    """

    scores: ClassVar = NUMBER_SCORES
    floor: ClassVar = "mean"

    def __init__(self, cohorts: Cohorts, train_kwargs: Mapping[str, Any]) -> None:
        self.cohorts, self.train_kwargs = cohorts, train_kwargs
        deep = () if cohorts.main is None else ("domainvi",)
        self.methods = self.usual = (*deep, *REGRESSORS)

    def run(self, trial: Trial, arrays: TransferData, method: str, seed: int) -> dict[str, float]:
        """Run one method and score it."""
        if method == "domainvi":
            soft = _domainvi(self.cohorts, trial, seed, self.train_kwargs)
            predicted = soft["value"].to_numpy(dtype=np.float64)
        else:
            value = self.cohorts.visible_values(trial)
            predicted = REGRESSORS[method](arrays, value, seed=seed)
        return score_numbers(self.cohorts.value[trial.scored], predicted[trial.scored[trial.used]])


def _domainvi(
    cohorts: Cohorts, trial: Trial, seed: int, train_kwargs: Mapping[str, Any]
) -> pd.DataFrame:
    """Train on the used rows; predict the phenotype that is scored."""
    from domainvi import DomainVI

    adata = cohorts.anndata(trial)
    target = None if cohorts.main is None else "target"
    DomainVI.setup_anndata(
        adata,
        batch_key="domain",
        labels_key="label",
        target_keys=None if target is None else [target],
        unlabeled_category=cohorts.unlabeled_category,
    )
    model = DomainVI(adata, seed=seed)
    model.train(**train_kwargs)
    return pd.DataFrame(model.predict(target=target, soft=True))


def score_probabilities(
    truth: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> dict[str, float]:
    """Score class probabilities, ``(n_rows, n_classes)``, against the true codes.

    Every class can be predicted; means over classes are over those that ``truth`` holds. The area
    under the ROC curve is that of one class against the rest, NaN with a single class.
    """
    predicted = probabilities.argmax(axis=1)
    classes, recall = metrics.per_class_recall(truth, predicted)
    areas = [np.nan]
    if len(classes) > 1:
        areas = [roc_auc_score(truth == c, probabilities[:, c]) for c in classes]
    return {
        "macro_f1": metrics.macro_f1(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy(truth, predicted),
        "accuracy": metrics.accuracy(truth, predicted),
        "worst_recall": float(np.min(recall)),
        "auroc": float(np.mean(areas)),
        "ece": metrics.expected_calibration_error(truth, probabilities),
        "nll": metrics.negative_log_likelihood(truth, probabilities),
    }


def score_numbers(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    """Score predicted numbers: R2 against the mean of ``truth`` (NaN with one row) and error."""
    several = truth.size > 1
    return {
        "r2": float(r2_score(truth, predicted)) if several else float("nan"),
        "mae": float(mean_absolute_error(truth, predicted)),
    }
