"""How good predictions are: labels, probabilities, harm done, and unknown rows found.

Labels are strings or integers, those of truth and prediction of one kind and of shape (rows,).
With ``probs``, probabilities of shape (rows, classes), ``truth`` holds class codes that index its
columns. Scores of unknown rows are larger where a row is less known, and ``unknown`` is true for
rows of unknown classes; for a p-value of being known, pass its negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score, roc_curve

from domainvi._checks import check_choice, check_pair, check_probs, check_sizes
from domainvi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from domainvi._checks import FloatArray, IntArray

Binning = Literal["mass", "uniform"]
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


@dataclass(frozen=True)
class LevelAccuracy:
    """How right labels of several levels are, from coarse to fine.

    Parameters
    ----------
    accuracy
        Share of rows whose name at each level is right, shape (levels,).
    share_named, accuracy_named
        Share of rows that are named at each level, and of these the share of right ones, both of
        shape (levels,); NaN where there is none.

    Examples
    --------
    >>> dv.metrics.level_accuracy([["T", "CD4"]], [["T", "CD8"]], [1]).accuracy.tolist()
    [1.0, 0.0]
    """

    accuracy: FloatArray
    share_named: FloatArray
    accuracy_named: FloatArray


def level_accuracy(truth: ArrayLike, predicted: ArrayLike, named_at: ArrayLike) -> LevelAccuracy:
    """Return how right labels of several levels are, and at which level rows are named.

    Parameters
    ----------
    truth, predicted
        Names from coarse to fine, shape (rows, levels). Where the truth is ``None`` or NaN the row
        does not count.
    named_at
        Number of the level at which each row is named, 0 for the coarsest, shape (rows,).

    Examples
    --------
    >>> found = dv.metrics.level_accuracy(
    ...     truth=[["T", "CD4"], ["T", "CD8"]],
    ...     predicted=[["T", "CD4"], ["T", "CD4"]],
    ...     named_at=[1, 0],
    ... )
    >>> found.accuracy.tolist(), found.share_named.tolist(), found.accuracy_named.tolist()
    ([1.0, 0.5], [0.5, 0.5], [1.0, 1.0])
    """
    known, guess = np.asarray(truth, dtype=object), np.asarray(predicted, dtype=object)
    level = np.asarray(named_at)
    if known.ndim != 2 or known.shape != guess.shape or level.shape != known.shape[:1]:
        msg = (
            f"truth has the shape {known.shape}, predicted {guess.shape} and named_at "
            f"{level.shape}; expected (rows, levels) twice, and (rows,)."
        )
        raise InputError(msg)
    if not known.size:
        msg = f"truth has the shape {known.shape}: there is nothing to score. Pass labelled rows."
        raise InputError(msg)
    right, counts = known == guess, known == known
    counts &= known != None  # noqa: E711 (by element)
    named = level[:, None] == np.arange(known.shape[1])
    with np.errstate(invalid="ignore"):
        return LevelAccuracy(
            accuracy=(right & counts).sum(axis=0) / counts.sum(axis=0),
            share_named=named.mean(axis=0),
            accuracy_named=(right & counts & named).sum(axis=0) / (counts & named).sum(axis=0),
        )


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


@dataclass(frozen=True)
class ReliabilityCurve:
    """Points of a reliability plot, one for each bin that holds rows.

    Parameters
    ----------
    confidence, accuracy, count
        Mean confidence, share of right predictions and number of rows, each of shape (bins,).

    Examples
    --------
    >>> curve = dv.metrics.reliability_curve([0, 1], [[0.9, 0.1], [0.7, 0.3]], n_bins=2)
    >>> curve.accuracy.tolist(), curve.count.tolist()
    ([0.0, 1.0], [1, 1])
    """

    confidence: FloatArray
    accuracy: FloatArray
    count: IntArray


def reliability_curve(
    truth: ArrayLike, probs: ArrayLike, n_bins: int = 15, binning: Binning = "mass"
) -> ReliabilityCurve:
    """Return mean confidence and accuracy by bin of confidence.

    Parameters
    ----------
    truth
        Class codes that index the columns of ``probs``, shape (rows,).
    probs
        Probabilities, shape (rows, classes).
    n_bins
        Number of bins; empty ones are left out.
    binning
        ``"mass"``: bins of (nearly) equal size, ties kept together. ``"uniform"``: bins of equal
        width.

    Returns
    -------
    Arrays to plot.

    Examples
    --------
    >>> curve = dv.metrics.reliability_curve([0, 1], [[0.9, 0.1], [0.6, 0.4]], n_bins=2)
    >>> curve.confidence.tolist(), curve.accuracy.tolist(), curve.count.tolist()
    ([0.6, 0.9], [0.0, 1.0], [1, 1])
    """
    check_sizes(n_bins=n_bins)
    check_choice("binning", binning, ("mass", "uniform"))
    confidence, hit = _hits(truth, probs)
    edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    if binning == "mass":
        edges = np.quantile(confidence, edges)
    # Equal confidences share a bin, so that the order of the rows cannot change the result.
    index = np.searchsorted(edges, confidence, side="left")
    count = np.bincount(index, minlength=n_bins)
    used = count > 0
    return ReliabilityCurve(
        confidence=np.bincount(index, confidence, n_bins)[used] / count[used],
        accuracy=np.bincount(index, hit, n_bins)[used] / count[used],
        count=count[used].astype(np.int64),
    )


def expected_calibration_error(
    truth: ArrayLike, probs: ArrayLike, n_bins: int = 15, binning: Binning = "mass"
) -> float:
    r"""Return the mean gap between confidence and accuracy.

    :math:`\sum_b (n_b / n)\,|\mathrm{acc}_b - \mathrm{conf}_b|` over bins of the largest
    probability (Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017). Bins of equal
    mass are the default: on small cohorts most bins of equal width are empty. The arguments are
    those of :func:`reliability_curve`.

    Returns
    -------
    Between 0 (calibrated) and 1.

    Examples
    --------
    >>> round(dv.metrics.expected_calibration_error([0, 0, 1, 1], [[0.8, 0.2]] * 4), 4)
    0.3
    """
    curve = reliability_curve(truth, probs, n_bins, binning)
    gap = np.abs(curve.accuracy - curve.confidence)
    return float(np.average(gap, weights=curve.count))


def negative_log_likelihood(truth: ArrayLike, probs: ArrayLike) -> float:
    r"""Return :math:`-n^{-1} \sum_i \log p_i(y_i)`, in nats.

    Probabilities are cut at the smallest positive double.

    Returns
    -------
    Zero or more; the logarithm of the number of classes for uniform probabilities.

    Examples
    --------
    >>> round(dv.metrics.negative_log_likelihood([0, 1], [[0.5, 0.5], [0.5, 0.5]]), 4)
    0.6931
    """
    y, p = check_probs(truth, probs)
    chosen = np.clip(p[np.arange(len(y)), y], np.finfo(np.float64).tiny, None)
    return float(-np.log(chosen).mean())


def brier(truth: ArrayLike, probs: ArrayLike) -> float:
    r"""Return the multi-class Brier score.

    :math:`n^{-1} \sum_i \sum_c (p_{ic} - [y_i = c])^2` (Brier, Monthly Weather Review 1950), which
    for two classes is twice the score that is often quoted.

    Returns
    -------
    Between 0 and 2.

    Examples
    --------
    >>> dv.metrics.brier([0, 1], [[1.0, 0.0], [0.5, 0.5]])
    0.25
    """
    y, p = check_probs(truth, probs)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean())


def risk_coverage_curve(truth: ArrayLike, probs: ArrayLike) -> tuple[FloatArray, FloatArray]:
    r"""Return the error among the most confident rows, for every share of rows that is kept.

    Rows in falling order of confidence, :math:`R(k/n) = k^{-1} \sum_{i \le k} e_i` (Geifman and
    El-Yaniv, NeurIPS 2017). Rows of one confidence have no order, so each carries the mean error
    of its tie.

    Returns
    -------
    Coverage, shape (rows,), rising to 1, and risk, shape (rows,).

    Examples
    --------
    >>> coverage, risk = dv.metrics.risk_coverage_curve([0, 1], [[0.9, 0.1], [0.6, 0.4]])
    >>> coverage.tolist(), risk.tolist()
    ([0.5, 1.0], [0.0, 0.5])
    """
    confidence, hit = _hits(truth, probs)
    _, tie, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    error = np.repeat(np.bincount(tie, 1 - hit) / size, size)
    kept = np.arange(1, len(error) + 1)
    return kept / len(error), np.cumsum(error) / kept


def area_under_risk_coverage(truth: ArrayLike, probs: ArrayLike) -> float:
    """Return the mean risk over all coverages: small when the wrong rows are the doubtful ones.

    Returns
    -------
    Between 0 and 1; the error rate itself when confidence says nothing.

    Examples
    --------
    >>> dv.metrics.area_under_risk_coverage([0, 1], [[0.9, 0.1], [0.6, 0.4]])
    0.25
    """
    return float(risk_coverage_curve(truth, probs)[1].mean())


def _hits(truth: ArrayLike, probs: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Confidence of each row, and whether its likeliest class is the true one."""
    y, p = check_probs(truth, probs)
    return p.max(axis=1), (p.argmax(axis=1) == y).astype(np.float64)
