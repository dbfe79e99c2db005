"""How well a score separates rows of unknown classes from rows of known ones.

Both functions take ``scores``, larger where a row is less known, and ``unknown``, true for rows of
unknown classes; both of shape (rows,). For a p-value of being known, pass its negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from domainvi._checks import check_pair
from domainvi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from domainvi._checks import FloatArray


def auroc(scores: ArrayLike, unknown: ArrayLike) -> float:
    """Return the probability that an unknown row scores above a known one, ties counted by half.

    Returns
    -------
    Between 0 and 1; 0.5 for a score that says nothing.

    Examples
    --------
    >>> dv.metrics.auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    s, u = _both_kinds(scores, unknown)
    return float(roc_auc_score(u, s))


def fpr_at_95_tpr(scores: ArrayLike, unknown: ArrayLike) -> float:
    """Return the share of known rows that are flagged when 95 % of the unknown ones are.

    Returns
    -------
    Between 0 and 1, smaller is better.

    Examples
    --------
    >>> dv.metrics.fpr_at_95_tpr([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.5
    """
    s, u = _both_kinds(scores, unknown)
    false_positive, true_positive, _ = roc_curve(u, s, drop_intermediate=False)
    return float(false_positive[np.argmax(true_positive >= 0.95)])


def _both_kinds(scores: ArrayLike, unknown: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    s, u = check_pair(scores, unknown, ("scores", "unknown"))
    flags = u.astype(bool)
    if flags.all() or not flags.any():
        msg = (
            f"unknown must mark some rows and leave others; got {int(flags.sum())} marked rows of "
            f"{len(flags)}. The number does not exist without both kinds."
        )
        raise InputError(msg)
    return s.astype(np.float64), flags
