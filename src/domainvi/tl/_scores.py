"""The scores that every benchmark reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

from domainvi import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASS_SCORES = (
    "macro_f1",
    "balanced_accuracy",
    "accuracy",
    "worst_recall",
    "auroc",
    "ece",
    "nll",
)
NUMBER_SCORES = ("r2", "mae")


def score_probabilities(
    truth: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> dict[str, float]:
    """Score class probabilities, ``(n_rows, n_classes)``, against the true codes.

    Every class can be predicted; means over classes are over those that ``truth`` holds. The area
    under the ROC curve is that of one class against the rest, NaN with a single class.
    """
    predicted = probabilities.argmax(axis=1)
    _, recall = metrics.per_class_recall(truth, predicted)
    return {
        "macro_f1": metrics.macro_f1(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy(truth, predicted),
        "accuracy": metrics.accuracy(truth, predicted),
        "worst_recall": float(np.min(recall)),
        "auroc": _auroc(truth, probabilities),
        "ece": metrics.expected_calibration_error(truth, probabilities),
        "nll": metrics.negative_log_likelihood(truth, probabilities),
    }


def _auroc(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    classes = np.unique(truth)
    if classes.size < 2:
        return float("nan")
    return float(np.mean([roc_auc_score(truth == c, probabilities[:, c]) for c in classes]))


def score_numbers(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    """Score predicted numbers: R2 against the mean of ``truth`` (NaN with one row) and error."""
    several = truth.size > 1
    return {
        "r2": float(r2_score(truth, predicted)) if several else float("nan"),
        "mae": float(mean_absolute_error(truth, predicted)),
    }
