"""The figures that every benchmark reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from domainvi import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray


def score_probabilities(
    truth: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> dict[str, float]:
    """Score class probabilities against the truth.

    Parameters
    ----------
    truth
        Class codes, ``(n_rows,)``.
    probabilities
        ``(n_rows, n_classes)``. Every class can be predicted; means over classes are over those
        that ``truth`` holds.

    Returns
    -------
    Macro-F1, balanced accuracy, accuracy, the lowest recall of a class, area under the ROC curve
    (one class against the rest, mean; NaN with a single class), expected calibration error and
    negative log-likelihood.
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
