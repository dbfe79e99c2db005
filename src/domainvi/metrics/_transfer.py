"""How good the transferred labels are, and how often transferring them does harm."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score, recall_score

from domainvi.errors import InputError
from domainvi.metrics._check import check_pair

# A drop of exactly the tolerance is not harm, whatever binary fractions make of it.
_ROUNDING = 1e-9


def macro_f1(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    r"""Return the mean F1 over the classes that occur in the truth.

    Maths first: :math:`F_c = 2 TP_c / (2 TP_c + FP_c + FN_c)`, averaged over
    :math:`c \in \mathrm{truth}`. The prediction space is left whole: a row sent to a class that the
    truth does not hold costs its own class recall, and no class of the truth is left out. Computed
    by scikit-learn.

    Parameters
    ----------
    truth
        True labels, shape (rows,): strings or integers.
    predicted
        Predicted labels of the same kind, shape (rows,).

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    InputError
        When the arrays differ in length or are empty.

    Examples
    --------
    >>> round(macro_f1(["a", "a", "b", "b"], ["a", "a", "b", "c"]), 4)
    0.8333
    """
    y, p = check_pair(truth, predicted, ("truth", "predicted"))
    return float(f1_score(y, p, labels=np.unique(y), average="macro", zero_division=0.0))


def per_class_recall(
    truth: npt.ArrayLike, predicted: npt.ArrayLike
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.float64]]:
    """Return the classes of the truth, sorted, and the share of each that was found.

    Parameters
    ----------
    truth
        True labels, shape (rows,).
    predicted
        Predicted labels, shape (rows,).

    Returns
    -------
    tuple
        Classes, shape (classes,), and recalls, shape (classes,).

    Raises
    ------
    InputError
        When the arrays differ in length or are empty.

    Examples
    --------
    >>> classes, recall = per_class_recall(["a", "a", "b"], ["a", "b", "b"])
    >>> classes.tolist(), recall.tolist()
    (['a', 'b'], [0.5, 1.0])
    """
    y, p = check_pair(truth, predicted, ("truth", "predicted"))
    classes = np.unique(y)
    recall = recall_score(y, p, labels=classes, average=None, zero_division=0.0)
    return classes, np.asarray(recall, dtype=np.float64)


def balanced_accuracy(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Return the mean recall over the classes of the truth.

    Parameters
    ----------
    truth
        True labels, shape (rows,).
    predicted
        Predicted labels, shape (rows,).

    Returns
    -------
    float
        Between 0 and 1; a constant prediction scores one over the number of classes.

    Raises
    ------
    InputError
        When the arrays differ in length or are empty.

    Examples
    --------
    >>> balanced_accuracy(["a", "a", "b"], ["a", "b", "b"])
    0.75
    """
    return float(per_class_recall(truth, predicted)[1].mean())


def accuracy(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Return the share of rows whose predicted label is the true one.

    Parameters
    ----------
    truth
        True labels, shape (rows,).
    predicted
        Predicted labels, shape (rows,).

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    InputError
        When the arrays differ in length or are empty.

    Examples
    --------
    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 0])
    0.75
    """
    y, p = check_pair(truth, predicted, ("truth", "predicted"))
    return float(np.mean(y == p))


def negative_transfer_rate(
    scores: npt.ArrayLike, reference: npt.ArrayLike, tolerance: float = 0.01
) -> float:
    r"""Return the share of units in which a method is worse than its reference.

    Maths first: :math:`n^{-1} \sum_i [s_i < r_i - \tau]`, a unit being one (task, split, seed). A
    mean gain hides the cohorts that are harmed; this is the figure that shows them.

    Parameters
    ----------
    scores
        Scores of the method, higher is better, shape (units,).
    reference
        Scores of the reference in the same units, for example the twin without adaptation.
    tolerance
        A loss up to this size is not counted.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    InputError
        When the arrays differ in length, are empty or hold NaN, or the tolerance is negative.

    Examples
    --------
    >>> negative_transfer_rate([0.90, 0.70, 0.80], [0.80, 0.75, 0.80])
    0.3333333333333333
    """
    if tolerance < 0:
        raise InputError(f"`tolerance` must be zero or more; got {tolerance}.")
    s, r = check_pair(scores, reference, ("scores", "reference"))
    loss = r.astype(np.float64) - s.astype(np.float64)
    if np.isnan(loss).any():
        raise InputError(
            f"`scores` and `reference` hold NaN in {int(np.isnan(loss).sum())} of {len(loss)} "
            "units; expected none. Leave out the units that did not finish."
        )
    return float(np.mean(loss > tolerance + _ROUNDING))
