"""What is predicted: classes or numbers, each with its methods and its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from ._baselines import BASELINES
from ._regressors import REGRESSORS
from ._scores import CLASS_SCORES, NUMBER_SCORES, score_numbers, score_probabilities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ._baselines import TransferData
    from ._cohorts import Cohorts
    from ._protocols import Trial

_CLASSICAL = {
    "logistic_regression": "lr_source",
    "logistic_regression_z": "lr_z",
    "coral": "coral_lr",
    "random_forest": "random_forest",
    "gradient_boosting": "gradient_boosting",
    "linear_svm": "linear_svm",
    "majority": "majority",
}


class ClassTarget:
    """A phenotype with classes.

    Parameters
    ----------
    cohorts
        The data.
    train_kwargs
        Passed to :meth:`domainvi.DomainVI.train`.
    """

    methods: ClassVar = ("domainvi", *_CLASSICAL)
    usual: ClassVar = ("domainvi", "logistic_regression", "logistic_regression_z", "random_forest")
    floor: ClassVar = "majority"
    scores: ClassVar = CLASS_SCORES

    def __init__(self, cohorts: Cohorts, train_kwargs: Mapping[str, Any]) -> None:
        self.cohorts, self.train_kwargs = cohorts, train_kwargs

    def run(self, trial: Trial, arrays: TransferData, method: str, seed: int) -> dict[str, float]:
        """Run one method and score it."""
        if method == "domainvi":
            probabilities = self._domainvi(trial, seed)
        else:
            probabilities = BASELINES[_CLASSICAL[method]](arrays, seed=seed)
        truth = self.cohorts.rows.label[trial.scored]
        return score_probabilities(truth, probabilities[trial.scored[trial.used]])

    def _domainvi(self, trial: Trial, seed: int) -> NDArray[np.float64]:
        from domainvi import DomainVI

        work = self.cohorts.anndata(trial)
        DomainVI.setup_anndata(
            work,
            batch_key="domain",
            labels_key="label",
            unlabeled_category=self.cohorts.unlabeled_category,
        )
        model = DomainVI(work, seed=seed)
        model.train(**self.train_kwargs)
        soft = pd.DataFrame(model.predict(soft=True))
        classes = self.cohorts.classes
        return np.asarray(soft.reindex(columns=classes, fill_value=0.0), dtype=np.float64)


class NumberTarget:
    """A numeric phenotype, such as age.

    Parameters
    ----------
    cohorts
        The data.
    """

    methods: ClassVar = tuple(REGRESSORS)
    usual: ClassVar = tuple(REGRESSORS)
    floor: ClassVar = "mean"
    scores: ClassVar = NUMBER_SCORES

    def __init__(self, cohorts: Cohorts) -> None:
        self.cohorts = cohorts

    def run(self, trial: Trial, arrays: TransferData, method: str, seed: int) -> dict[str, float]:
        """Run one method and score it."""
        value = np.where(trial.shown, self.cohorts.value, np.nan)[trial.used]
        predicted = REGRESSORS[method](arrays, value, seed=seed)
        return score_numbers(self.cohorts.value[trial.scored], predicted[trial.scored[trial.used]])
