"""How well a fresh probe, trained to convergence, finds a factor in latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import KFold, LeaveOneGroupOut, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from domainvi.errors import InputError
from domainvi.metrics._check import FloatArray, check_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

Probe = Literal["linear", "boosting"]
_N_BOOTSTRAPS = 200


@dataclass(frozen=True)
class FactorProbe:
    """What a probe found.

    Attributes
    ----------
    score
        Balanced accuracy of levels, R² of numbers, AUC of joint against shuffled; out of fold.
    chance
        Mean of the score under permutation: within strata this is what the strata give away. NaN
        without permutations.
    p_value
        Share of permutations, the actual order among them, that score at least as high. NaN
        without permutations.
    low, high
        Confidence interval of the score, 95 %, from the bootstrap over rows.
    n_rows
        Rows probed.

    Examples
    --------
    >>> import numpy as np
    >>> from domainvi.metrics import factor_probe
    >>> rng = np.random.default_rng(0)
    >>> sex = np.repeat([0, 1], 50)
    >>> found = factor_probe(rng.normal(size=(100, 2)) + 9 * sex[:, None], sex, n_permutations=5)
    >>> found.score, found.n_rows
    (1.0, 100)
    """

    score: float
    chance: float
    p_value: float
    low: float
    high: float
    n_rows: int


def factor_probe(
    z: npt.ArrayLike,
    factor: npt.ArrayLike,
    *,
    numeric: bool = False,
    strata: npt.ArrayLike | None = None,
    held_out: npt.ArrayLike | None = None,
    probe: Probe = "linear",
    n_splits: int = 5,
    n_permutations: int = 20,
    seed: int = 0,
) -> FactorProbe:
    """Cross-fit a probe for a factor and compare it with permutations.

    Parameters
    ----------
    z
        Latents, shape (rows, dimensions).
    factor
        Levels as codes, -1 where missing, or numbers, NaN where missing; shape (rows,).
    numeric
        Whether the factor is a number.
    strata
        Codes, shape (rows,): the factor is permuted within these, so that what they tell of it
        counts as chance.
    held_out
        Codes of domains, shape (rows,): each is predicted by a probe that was trained on the
        others. `None` for stratified folds.
    probe
        "linear" for logistic regression, balanced, or ridge regression; "boosting" for gradient
        boosted trees, which find what is not linear.
    n_splits
        Folds without `held_out`.
    n_permutations
        Permutations; the smallest p-value is one over one more, and there is none without any.
    seed
        Of folds, permutations and bootstrap.

    Returns
    -------
    FactorProbe
        Score, chance, p-value and interval.

    Raises
    ------
    InputError
        When shapes differ, or fewer than two levels have two rows.

    Examples
    --------
    >>> import numpy as np
    >>> code = np.tile([0, 1], 50)
    >>> found = factor_probe(code[:, None] * 9.0, code, n_permutations=4)
    >>> found.score, found.p_value
    (1.0, 0.2)
    """
    matrix = check_matrix(z, "z")
    y = np.asarray(factor)
    if y.shape != (len(matrix),):
        raise InputError(f"`factor` must have shape ({len(matrix)},); got {y.shape}.")
    kept = rows_to_probe(y, numeric=numeric, n_splits=n_splits)
    if not len(kept):
        raise InputError(
            "`factor` must have two levels or more, each with a row for each of the "
            f"{n_splits} folds, or two numbers in as many rows."
        )
    x, y = matrix[kept], y[kept]
    s = np.zeros(len(y), dtype=np.int64) if strata is None else np.asarray(strata)[kept]
    groups = None if held_out is None else np.asarray(held_out)[kept]
    rng = np.random.default_rng(seed)
    measure: Callable[..., float] = r2_score if numeric else balanced_accuracy_score

    def found(target: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return _cross_fit(x, target, groups, numeric, probe, n_splits, seed)

    guess = found(y)
    score = float(measure(y, guess))
    null = []
    for _ in range(n_permutations):
        shuffled = permute_within(y, s, rng)
        null.append(float(measure(shuffled, found(shuffled))))
    low, high = interval(measure, y, guess, rng)
    return FactorProbe(
        score=score,
        chance=float(np.mean(null)) if null else float("nan"),
        p_value=p_value_of(score, null),
        low=low,
        high=high,
        n_rows=len(y),
    )


def rows_to_probe(
    factor: npt.ArrayLike, *, numeric: bool = False, n_splits: int = 5
) -> npt.NDArray[np.int64]:
    """Find the rows by which a factor can be probed.

    Parameters
    ----------
    factor, numeric, n_splits
        As for `factor_probe`.

    Returns
    -------
    Row numbers: those with a value, of levels with a row for each fold. None where these have fewer
    than two levels, or a number has fewer rows than folds.

    Examples
    --------
    >>> rows_to_probe([0, 0, 1, 1, 2, -1], n_splits=2)
    array([0, 1, 2, 3])
    >>> rows_to_probe([0, 0, 0, 0], n_splits=2)
    array([], dtype=int64)
    """
    y = np.asarray(factor)
    known = np.isfinite(y) if numeric else y >= 0
    if not numeric:
        level, count = np.unique(y[known], return_counts=True)
        # A level with fewer rows than folds cannot be in each.
        known &= np.isin(y, level[count >= n_splits])
    kept = np.flatnonzero(known)
    enough = len(kept) >= n_splits and len(np.unique(y[kept])) > 1
    return kept if enough else kept[:0]


def p_value_of(score: float, null: Sequence[float]) -> float:
    """Share of permutations that score as well; NaN without any."""
    return (1 + sum(v >= score for v in null)) / (1 + len(null)) if null else float("nan")


def permute_within(
    y: npt.NDArray[Any], strata: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[Any]:
    """Permute values within strata."""
    out = y.copy()
    for s in np.unique(strata):
        rows = np.flatnonzero(strata == s)
        out[rows] = y[rng.permutation(rows)]
    return out


def _cross_fit(
    x: FloatArray,
    y: npt.NDArray[Any],
    groups: npt.NDArray[Any] | None,
    numeric: bool,
    probe: Probe,
    n_splits: int,
    seed: int,
) -> npt.NDArray[Any]:
    splitter = KFold if numeric else StratifiedKFold
    folds: Any = splitter(n_splits, shuffle=True, random_state=seed)
    if groups is not None and len(np.unique(groups)) > 1:
        folds = LeaveOneGroupOut()
    return cross_val_predict(_estimator(numeric, probe, seed), x, y, groups=groups, cv=folds)


def _estimator(numeric: bool, probe: Probe, seed: int) -> Any:
    if probe == "boosting":
        if numeric:
            return HistGradientBoostingRegressor(max_iter=60, random_state=seed)
        return HistGradientBoostingClassifier(
            max_iter=60, class_weight="balanced", random_state=seed
        )
    if probe != "linear":
        raise InputError(f"`probe` must be 'linear' or 'boosting'; got {probe!r}.")
    model = (
        RidgeCV(np.logspace(-2, 4, 13))
        if numeric
        else LogisticRegression(max_iter=2000, class_weight="balanced")
    )
    return make_pipeline(StandardScaler(), model)


def interval(
    measure: Callable[..., float],
    y: npt.NDArray[Any],
    guess: npt.NDArray[Any],
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Bootstrap a 95 % confidence interval over rows."""
    scores = []
    for _ in range(_N_BOOTSTRAPS):
        rows = rng.integers(len(y), size=len(y))
        if len(np.unique(y[rows])) > 1:
            scores.append(float(measure(y[rows], guess[rows])))
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)
