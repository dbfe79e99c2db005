"""Whether a probability means what it says."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from domainvi.errors import InputError
from domainvi.metrics._check import FloatArray, IntArray, check_probs

Binning = Literal["mass", "uniform"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """Points of a reliability plot, one for each bin that holds rows.

    Attributes
    ----------
    confidence
        Mean confidence, shape (bins,).
    accuracy
        Share of right predictions, shape (bins,).
    count
        Rows, shape (bins,).

    Examples
    --------
    >>> from domainvi.metrics import reliability_curve
    >>> curve = reliability_curve([0, 1], [[0.9, 0.1], [0.7, 0.3]], n_bins=2)
    >>> curve.accuracy.tolist(), curve.count.tolist()
    ([0.0, 1.0], [1, 1])
    """

    confidence: FloatArray
    accuracy: FloatArray
    count: IntArray


def _hits(truth: npt.ArrayLike, probs: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    y, p = check_probs(truth, probs)
    return p.max(axis=1), (p.argmax(axis=1) == y).astype(np.float64)


def _bin_index(confidence: FloatArray, n_bins: int, binning: Binning) -> IntArray:
    if n_bins < 1:
        raise InputError(f"`n_bins` must be one or more; got {n_bins}.")
    levels = np.linspace(0, 1, n_bins + 1)[1:-1]
    if binning == "uniform":
        edges = levels
    elif binning == "mass":
        edges = np.quantile(confidence, levels)
    else:
        raise InputError(f"`binning` must be 'mass' or 'uniform'; got {binning!r}.")
    # Equal confidences share a bin, so that the order of the rows cannot change the result.
    return np.searchsorted(edges, confidence, side="left").astype(np.int64)


def reliability_curve(
    truth: npt.ArrayLike, probs: npt.ArrayLike, n_bins: int = 15, binning: Binning = "mass"
) -> ReliabilityCurve:
    """Return mean confidence and accuracy by bin of confidence.

    Parameters
    ----------
    truth
        Class codes that index the columns of `probs`, shape (rows,).
    probs
        Probabilities, shape (rows, classes).
    n_bins
        Number of bins; empty ones are left out.
    binning
        "mass": bins of (nearly) equal size, ties kept together. "uniform": bins of equal width.

    Returns
    -------
    ReliabilityCurve
        Arrays to plot.

    Raises
    ------
    InputError
        When shapes, codes or probabilities are not valid.

    Examples
    --------
    >>> curve = reliability_curve([0, 1], [[0.9, 0.1], [0.6, 0.4]], n_bins=2)
    >>> curve.confidence.tolist(), curve.accuracy.tolist(), curve.count.tolist()
    ([0.6, 0.9], [0.0, 1.0], [1, 1])
    """
    confidence, hit = _hits(truth, probs)
    index = _bin_index(confidence, n_bins, binning)
    count = np.bincount(index, minlength=n_bins)
    used = count > 0
    return ReliabilityCurve(
        confidence=np.bincount(index, confidence, n_bins)[used] / count[used],
        accuracy=np.bincount(index, hit, n_bins)[used] / count[used],
        count=count[used].astype(np.int64),
    )


def expected_calibration_error(
    truth: npt.ArrayLike, probs: npt.ArrayLike, n_bins: int = 15, binning: Binning = "mass"
) -> float:
    r"""Return the mean gap between confidence and accuracy.

    Maths first: :math:`\sum_b (n_b / n)\,|\mathrm{acc}_b - \mathrm{conf}_b|` over bins of the
    largest probability (Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017). Bins of
    equal mass are the default: on small cohorts most bins of equal width are empty.

    Parameters
    ----------
    truth
        Class codes that index the columns of `probs`, shape (rows,).
    probs
        Probabilities, shape (rows, classes).
    n_bins
        Number of bins.
    binning
        "mass" or "uniform".

    Returns
    -------
    float
        Between 0 (calibrated) and 1.

    Raises
    ------
    InputError
        When shapes, codes or probabilities are not valid.

    Examples
    --------
    >>> probs = [[0.8, 0.2]] * 4
    >>> round(expected_calibration_error([0, 0, 1, 1], probs), 4)
    0.3
    """
    curve = reliability_curve(truth, probs, n_bins, binning)
    gap = np.abs(curve.accuracy - curve.confidence)
    return float(np.average(gap, weights=curve.count))


def negative_log_likelihood(truth: npt.ArrayLike, probs: npt.ArrayLike) -> float:
    r"""Return :math:`-n^{-1} \sum_i \log p_i(y_i)`, in nats.

    Parameters
    ----------
    truth
        Class codes that index the columns of `probs`, shape (rows,).
    probs
        Probabilities, shape (rows, classes); cut at the smallest positive double.

    Returns
    -------
    float
        Zero or more; the logarithm of the number of classes for uniform probabilities.

    Raises
    ------
    InputError
        When shapes, codes or probabilities are not valid.

    Examples
    --------
    >>> round(negative_log_likelihood([0, 1], [[0.5, 0.5], [0.5, 0.5]]), 4)
    0.6931
    """
    y, p = check_probs(truth, probs)
    chosen = np.clip(p[np.arange(len(y)), y], np.finfo(np.float64).tiny, None)
    return float(-np.log(chosen).mean())


def brier(truth: npt.ArrayLike, probs: npt.ArrayLike) -> float:
    r"""Return the multi-class Brier score.

    Maths first: :math:`n^{-1} \sum_i \sum_c (p_{ic} - [y_i = c])^2` (Brier, Monthly Weather Review
    1950), which for two classes is twice the score that is often quoted.

    Parameters
    ----------
    truth
        Class codes that index the columns of `probs`, shape (rows,).
    probs
        Probabilities, shape (rows, classes).

    Returns
    -------
    float
        Between 0 and 2.

    Raises
    ------
    InputError
        When shapes, codes or probabilities are not valid.

    Examples
    --------
    >>> brier([0, 1], [[1.0, 0.0], [0.5, 0.5]])
    0.25
    """
    y, p = check_probs(truth, probs)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean())


def risk_coverage_curve(
    truth: npt.ArrayLike, probs: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    r"""Return the error among the most confident rows, for every share of rows that is kept.

    Maths first: rows in falling order of confidence, :math:`R(k/n) = k^{-1} \sum_{i \le k} e_i`
    (Geifman and El-Yaniv, NeurIPS 2017). Rows of one confidence have no order, so each carries the
    mean error of its tie.

    Parameters
    ----------
    truth
        Class codes that index the columns of `probs`, shape (rows,).
    probs
        Probabilities, shape (rows, classes).

    Returns
    -------
    tuple
        Coverage, shape (rows,), rising to 1, and risk, shape (rows,).

    Raises
    ------
    InputError
        When shapes, codes or probabilities are not valid.

    Examples
    --------
    >>> coverage, risk = risk_coverage_curve([0, 1], [[0.9, 0.1], [0.6, 0.4]])
    >>> coverage.tolist(), risk.tolist()
    ([0.5, 1.0], [0.0, 0.5])
    """
    confidence, hit = _hits(truth, probs)
    _, tie, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    error_by_tie = np.bincount(tie, 1 - hit) / size
    error = np.repeat(error_by_tie, size)
    kept = np.arange(1, len(error) + 1)
    return kept / len(error), np.cumsum(error) / kept


def area_under_risk_coverage(truth: npt.ArrayLike, probs: npt.ArrayLike) -> float:
    """Return the mean risk over all coverages: small when the wrong rows are the doubtful ones.

    Parameters
    ----------
    truth
        Class codes that index the columns of `probs`, shape (rows,).
    probs
        Probabilities, shape (rows, classes).

    Returns
    -------
    float
        Between 0 and 1; the error rate itself when confidence says nothing.

    Raises
    ------
    InputError
        When shapes, codes or probabilities are not valid.

    Examples
    --------
    >>> area_under_risk_coverage([0, 1], [[0.9, 0.1], [0.6, 0.4]])
    0.25
    """
    return float(risk_coverage_curve(truth, probs)[1].mean())
