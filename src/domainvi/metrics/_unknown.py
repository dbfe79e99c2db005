"""How well a score separates rows of unknown classes from rows of known ones."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score, roc_curve

from domainvi.errors import InputError
from domainvi.metrics._check import check_pair


def _check(scores: npt.ArrayLike, unknown: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
    s, u = check_pair(scores, unknown, ("scores", "unknown"))
    flags = u.astype(bool)
    if flags.all() or not flags.any():
        raise InputError(
            f"`unknown` must mark some rows and leave others; got {int(flags.sum())} marked rows "
            f"of {len(flags)}. The figure does not exist without both kinds."
        )
    return s.astype(np.float64), flags


def auroc(scores: npt.ArrayLike, unknown: npt.ArrayLike) -> float:
    """Return the probability that an unknown row scores above a known one, ties counted by half.

    Parameters
    ----------
    scores
        Larger means less known, shape (rows,). For a p-value of being known, pass its negative.
    unknown
        True for rows of unknown classes, shape (rows,).

    Returns
    -------
    float
        Between 0 and 1; 0.5 for a score that says nothing.

    Raises
    ------
    InputError
        When only one kind of row is there, or lengths differ.

    Examples
    --------
    >>> auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    s, u = _check(scores, unknown)
    return float(roc_auc_score(u, s))


def fpr_at_95_tpr(scores: npt.ArrayLike, unknown: npt.ArrayLike) -> float:
    """Return the share of known rows that are flagged when 95 % of the unknown ones are.

    Parameters
    ----------
    scores
        Larger means less known, shape (rows,).
    unknown
        True for rows of unknown classes, shape (rows,).

    Returns
    -------
    float
        Between 0 and 1, smaller is better.

    Raises
    ------
    InputError
        When only one kind of row is there, or lengths differ.

    Examples
    --------
    >>> fpr_at_95_tpr([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.5
    """
    s, u = _check(scores, unknown)
    false_positive, true_positive, _ = roc_curve(u, s, drop_intermediate=False)
    return float(false_positive[np.argmax(true_positive >= 0.95)])
