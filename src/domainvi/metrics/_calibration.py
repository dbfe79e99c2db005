"""Whether a probability means what it says.

Every function takes ``truth``, class codes of shape (rows,) that index the columns of ``probs``,
probabilities of shape (rows, classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from domainvi._checks import check_choice, check_probs, check_sizes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from domainvi._checks import FloatArray, IntArray

Binning = Literal["mass", "uniform"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """Points of a reliability plot, one for each bin that holds rows.

    Parameters
    ----------
    confidence
        Mean confidence, shape (bins,).
    accuracy
        Share of right predictions, shape (bins,).
    count
        Rows, shape (bins,).

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
