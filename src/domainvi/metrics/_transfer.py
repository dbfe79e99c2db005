"""How good the transferred labels are, and how often transferring them does harm.

Labels are strings or integers, those of truth and prediction of one kind and of shape (rows,).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, recall_score

from domainvi._checks import check_pair
from domainvi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from domainvi._checks import FloatArray

_LABELS = ("truth", "predicted")
# A drop of exactly the tolerance is not harm, whatever binary fractions make of it.
_ROUNDING = 1e-9


def macro_f1(truth: ArrayLike, predicted: ArrayLike) -> float:
    r"""Return the mean F1 over the classes that occur in the truth.

    :math:`F_c = 2 TP_c / (2 TP_c + FP_c + FN_c)`, averaged over :math:`c \in \mathrm{truth}`. The
    prediction space is left whole: a row sent to a class that the truth does not hold costs its
    own class recall, and no class of the truth is left out. Computed by scikit-learn.

    Parameters
    ----------
    truth
        True labels, shape (rows,): strings or integers.
    predicted
        Predicted labels of the same kind, shape (rows,).

    Returns
    -------
    Between 0 and 1.

    Examples
    --------
    >>> round(dv.metrics.macro_f1(["a", "a", "b", "b"], ["a", "a", "b", "c"]), 4)
    0.8333
    """
    y, p = check_pair(truth, predicted, _LABELS)
    return float(f1_score(y, p, labels=np.unique(y), average="macro", zero_division=0.0))


def per_class_recall(
    truth: ArrayLike, predicted: ArrayLike
) -> tuple[NDArray[np.generic], FloatArray]:
    """Return the classes of the truth, sorted, and the share of each that was found.

    Returns
    -------
    Classes, shape (classes,), and recalls, shape (classes,).

    Examples
    --------
    >>> classes, recall = dv.metrics.per_class_recall(["a", "a", "b"], ["a", "b", "b"])
    >>> classes.tolist(), recall.tolist()
    (['a', 'b'], [0.5, 1.0])
    """
    y, p = check_pair(truth, predicted, _LABELS)
    classes = np.unique(y)
    recall = recall_score(y, p, labels=classes, average=None, zero_division=0.0)
    return classes, np.asarray(recall, dtype=np.float64)


def balanced_accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean recall over the classes of the truth.

    Returns
    -------
    Between 0 and 1; a constant prediction scores one over the number of classes.

    Examples
    --------
    >>> dv.metrics.balanced_accuracy(["a", "a", "b"], ["a", "b", "b"])
    0.75
    """
    return float(per_class_recall(truth, predicted)[1].mean())


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of rows whose predicted label is the true one.

    Returns
    -------
    Between 0 and 1.

    Examples
    --------
    >>> dv.metrics.accuracy([0, 1, 2, 2], [0, 1, 2, 0])
    0.75
    """
    return float(accuracy_score(*check_pair(truth, predicted, _LABELS)))


def negative_transfer_rate(
    scores: ArrayLike, reference: ArrayLike, tolerance: float = 0.01
) -> float:
    r"""Return the share of units in which a method is worse than its reference.

    :math:`n^{-1} \sum_i [s_i < r_i - \tau]`, a unit being one (task, split, seed). A mean gain
    hides the cohorts that are harmed; this is the number that shows them.

    Parameters
    ----------
    scores
        Scores of the method, higher is better, shape (units,).
    reference
        Scores of the reference in the same units, for example the source-only baseline.
    tolerance
        A loss up to this size is not counted.

    Returns
    -------
    Between 0 and 1.

    Examples
    --------
    >>> dv.metrics.negative_transfer_rate([0.90, 0.70, 0.80], [0.80, 0.75, 0.80])
    0.3333333333333333
    """
    if tolerance < 0:
        msg = f"tolerance={tolerance} must be zero or more."
        raise InputError(msg)
    s, r = check_pair(scores, reference, ("scores", "reference"))
    loss = r.astype(np.float64) - s.astype(np.float64)
    if np.isnan(loss).any():
        msg = (
            f"scores and reference hold NaN in {int(np.isnan(loss).sum())} of {len(loss)} units; "
            "expected none. Leave out the units that did not finish."
        )
        raise InputError(msg)
    return float(np.mean(loss > tolerance + _ROUNDING))
