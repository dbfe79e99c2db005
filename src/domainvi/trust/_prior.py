"""The class mix of the target: estimated, applied, and switched off where it cannot be known."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from domainvi.errors import InputError
from domainvi.trust._check import FloatArray, check_label, check_prior, check_probs

# Beyond these the estimate says more about the classifier than about the class mix.
_MAX_CONDITION = 10.0
_MAX_DIVERGENCE = 0.2
_MAX_RATIO = 20.0
_SMALL_SHARE = 0.05


@dataclass(frozen=True)
class PriorEstimate:
    """The class mix of the target.

    Attributes
    ----------
    prior
        What to use, shape (classes,): the estimate, or the source prior where it is not usable.
    n_iter
        Iterations of the EM.
    usable
        Whether the estimate may be used.
    reason
        A plain sentence that says why or why not.
    raw
        The estimate itself, usable or not.
    condition
        Condition number of the confusion matrix; NaN when none was given.
    standard_error
        Largest bootstrap standard error of a class share; NaN without bootstrap.

    Examples
    --------
    >>> import numpy as np
    >>> from domainvi.trust import estimate_prior
    >>> probs = np.repeat([[0.9, 0.1], [0.2, 0.8]], [90, 10], axis=0)
    >>> estimate = estimate_prior(probs, [0.5, 0.5])
    >>> estimate.prior.argmax().item()
    0
    """

    prior: FloatArray
    n_iter: int
    usable: bool
    reason: str
    raw: FloatArray
    condition: float = float("nan")
    standard_error: float = float("nan")


def adjust_probs(
    probs: npt.ArrayLike, prior_source: npt.ArrayLike, prior_target: npt.ArrayLike
) -> FloatArray:
    r"""Return probabilities under another class mix.

    Maths first: :math:`p'(c \mid x) \propto p(c \mid x)\, \pi_T(c) / \pi_S(c)` (Saerens, Latinne
    and Decaestecker, Neural Computation 2002), which is exact when the classes look the same in
    both populations and only their shares differ. Classes that the source does not hold keep
    probability 0.

    Parameters
    ----------
    probs
        Calibrated probabilities under the source prior, shape (rows, classes).
    prior_source
        Class shares that the probabilities were calibrated under, shape (classes,).
    prior_target
        Class shares of the target, shape (classes,).

    Returns
    -------
    numpy.ndarray
        Shape (rows, classes); rows sum to one. A row whose every likely class has target share zero
        is returned as it came.

    Raises
    ------
    InputError
        When shapes or values are not valid.

    Examples
    --------
    >>> adjust_probs([[0.5, 0.5]], [0.5, 0.5], [0.9, 0.1]).round(3).tolist()
    [[0.9, 0.1]]
    """
    p = check_probs(probs, "probs")
    source = check_prior(prior_source, "prior_source", p.shape[1])
    target = check_prior(prior_target, "prior_target", p.shape[1])
    return _reweight(p, source, target)


def _reweight(p: FloatArray, source: FloatArray, target: FloatArray) -> FloatArray:
    ratio = np.divide(target, source, out=np.zeros_like(source), where=source > 0)
    out = p * ratio
    total = out.sum(axis=1, keepdims=True)
    return np.divide(out, total, out=p.copy(), where=total > 0)


def _em(
    p: FloatArray, source: FloatArray, max_iter: int, tolerance: float
) -> tuple[FloatArray, int, bool]:
    prior = source
    for i in range(1, max_iter + 1):
        new = (_reweight(p, source, prior).sum(axis=0) + source) / (len(p) + 1)
        change = np.abs(new - prior).sum()
        prior = new
        if change < tolerance:
            return prior, i, True
    return prior, max_iter, False


def estimate_prior(
    probs_target: npt.ArrayLike,
    prior_source: npt.ArrayLike,
    *,
    source_probs: npt.ArrayLike | None = None,
    source_label: npt.ArrayLike | None = None,
    min_rows: int = 50,
    max_iter: int = 10_000,
    tolerance: float = 1e-6,
    n_bootstrap: int = 0,
    max_standard_error: float = 0.1,
    seed: int = 0,
) -> PriorEstimate:
    r"""Estimate the class shares of an unlabelled target by maximum likelihood.

    Maths first: EM on :math:`\sum_i \log \sum_c p(c \mid x_i)\, \pi(c) / \pi_S(c)`: reweight with
    the current shares, average, repeat (Saerens et al. 2002). With bias-corrected temperature
    scaling it is hard to beat (Alexandari et al., ICML 2020). One row with the source's shares is
    added to the average, so that no share ends at exactly zero. It assumes that only the class
    shares differ between the populations; a shift within classes breaks it without notice, so the
    estimate switches itself off when

    - the target has fewer than `min_rows` rows;
    - the soft confusion matrix :math:`C_{kc} = E[p(k \mid x) \mid y = c]` on held-out source rows
      has a condition number above 10, so that class shares cannot be told from class confusion;
    - the EM does not converge;
    - the result is implausible: its Jensen-Shannon divergence from the histogram of the predictions
      that it leads to is above 0.2 bits, or it all but removes (or makes up) a class, with one
      twentieth of the share or less on one side and 5 % or more on the other, against the
      predictions as they came;
    - a bootstrap, when asked for, moves a class share by more than `max_standard_error`.

    Parameters
    ----------
    probs_target
        Calibrated probabilities of the target rows under the source prior, shape (rows, classes).
    prior_source
        Class shares that the probabilities were calibrated under, shape (classes,).
    source_probs
        Probabilities of held-out source rows, for the confusion matrix, shape (source rows,
        classes).
    source_label
        Their class codes, shape (source rows,).
    min_rows
        Fewest target rows.
    max_iter
        Most iterations.
    tolerance
        The EM stops when the shares move by less than this in sum.
    n_bootstrap
        Resamples of the target rows for the standard error; 0 for none.
    max_standard_error
        Largest standard error of a share that is still usable.
    seed
        Seed of the bootstrap.

    Returns
    -------
    PriorEstimate
        With `prior` equal to the source prior where the estimate is not usable.

    Raises
    ------
    InputError
        When shapes or values are not valid, or only one of `source_probs` and `source_label` is
        given.

    Examples
    --------
    >>> import numpy as np
    >>> probs = np.repeat([[0.9, 0.1], [0.1, 0.9]], [80, 20], axis=0)
    >>> found = estimate_prior(probs, [0.5, 0.5])
    >>> found.prior.round(3).tolist(), found.usable
    ([0.867, 0.133], True)
    """
    p = check_probs(probs_target, "probs_target")
    source = check_prior(prior_source, "prior_source", p.shape[1])
    raw, n_iter, converged = _em(p, source, max_iter, tolerance)
    condition = _condition(source_probs, source_label, p.shape[1])
    error = _bootstrap_error(p, source, max_iter, tolerance, n_bootstrap, seed)
    reason = ""
    if len(p) < min_rows:
        reason = f"the target has {len(p)} rows, fewer than the {min_rows} that the estimate needs"
    elif condition > _MAX_CONDITION:
        reason = (
            "the classes are confused too much on held-out source rows (condition number "
            f"{condition:.3g}, at most {_MAX_CONDITION:g})"
        )
    elif not converged:
        reason = f"the estimate did not converge in {max_iter} iterations"
    elif error > max_standard_error:
        reason = f"a class share is known to {error:.2f} only (at most {max_standard_error:g})"
    else:
        reason = _implausible(p, source, raw)
    usable = not reason
    return PriorEstimate(
        prior=raw if usable else source,
        n_iter=n_iter,
        usable=usable,
        reason="the class mix of the target was estimated" if usable else f"not used: {reason}",
        raw=raw,
        condition=condition,
        standard_error=error,
    )


def _condition(probs: npt.ArrayLike | None, label: npt.ArrayLike | None, n_classes: int) -> float:
    if (probs is None) != (label is None):
        raise InputError("`source_probs` and `source_label` belong together; got only one of them.")
    if probs is None or label is None:
        return float("nan")
    p = check_probs(probs, "source_probs")
    if p.shape[1] != n_classes:
        raise InputError(
            f"`source_probs` has {p.shape[1]} classes; `probs_target` has {n_classes}. Pass both "
            "from the same classifier."
        )
    y = check_label(label, *p.shape)
    present = np.unique(y)
    confusion = np.stack([p[y == c].mean(axis=0)[present] for c in present], axis=1)
    return float(np.linalg.cond(confusion))


def _bootstrap_error(
    p: FloatArray, source: FloatArray, max_iter: int, tolerance: float, n: int, seed: int
) -> float:
    if n < 2:
        return float("nan")
    rng = np.random.default_rng(seed)
    draws = [
        _em(p[rng.integers(len(p), size=len(p))], source, max_iter, tolerance)[0] for _ in range(n)
    ]
    return float(np.std(draws, axis=0, ddof=1).max())


def _histogram(p: FloatArray) -> FloatArray:
    return np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(p)


def _implausible(p: FloatArray, source: FloatArray, raw: FloatArray) -> str:
    histogram = _histogram(_reweight(p, source, raw))
    middle = (raw + histogram) / 2
    divergence = 0.5 * (rel_entr(raw, middle) + rel_entr(histogram, middle)).sum() / np.log(2)
    if divergence > _MAX_DIVERGENCE:
        return (
            f"the estimate is {divergence:.2f} bits away from the predictions that it leads to (at "
            f"most {_MAX_DIVERGENCE:g})"
        )
    before = _histogram(p)
    low, high = np.minimum(before, raw), np.maximum(before, raw)
    n_wild = int(((high >= _SMALL_SHARE) & (high > _MAX_RATIO * low)).sum())
    if n_wild:
        return f"it would all but remove, or make up, {n_wild} classes against the predictions"
    return ""
