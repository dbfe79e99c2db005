"""How well fresh probes, trained to convergence, find a factor or a dependence in latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import KFold, LeaveOneGroupOut, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from domainvi._checks import check_choice, check_column, check_matrix
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from domainvi._checks import FloatArray, IntArray

Probe = Literal["linear", "boosting"]
_N_BOOTSTRAPS = 200


@dataclass(frozen=True)
class FactorProbe:
    """What a probe found.

    Parameters
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
    >>> rng = np.random.default_rng(0)
    >>> sex = np.repeat([0, 1], 50)
    >>> z = rng.normal(size=(100, 2)) + 9 * sex[:, None]
    >>> found = dv.metrics.factor_probe(z, sex, n_permutations=5)
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
    z: ArrayLike,
    factor: ArrayLike,
    *,
    numeric: bool = False,
    strata: ArrayLike | None = None,
    held_out: ArrayLike | None = None,
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
        others. ``None`` for stratified folds.
    probe
        ``"linear"`` for logistic regression, balanced, or ridge regression; ``"boosting"`` for
        gradient boosted trees, which find what is not linear.
    n_splits
        Number of folds without ``held_out``.
    n_permutations
        Permutations; the smallest p-value is one over one more, and there is none without any.
    seed
        Random seed for folds, permutations and bootstrap.

    Returns
    -------
    Score, chance, p-value and interval.

    Raises
    ------
    InputError
        When shapes differ, or fewer than two levels have two rows.

    Examples
    --------
    >>> code = np.tile([0, 1], 50)
    >>> found = dv.metrics.factor_probe(code[:, None] * 9.0, code, n_permutations=4)
    >>> found.score, found.p_value
    (1.0, 0.2)
    """
    matrix = check_matrix(z, "z")
    y = check_column(factor, "factor", len(matrix))
    kept = rows_to_probe(y, numeric=numeric, n_splits=n_splits)
    if not len(kept):
        msg = (
            "factor must have two levels or more, each with a row for each of the "
            f"{n_splits} folds, or two numbers in as many rows."
        )
        raise InputError(msg)
    x, y = matrix[kept], y[kept]
    s = np.zeros(len(y), dtype=np.int64) if strata is None else np.asarray(strata)[kept]
    groups = None if held_out is None else np.asarray(held_out)[kept]
    rng = np.random.default_rng(seed)
    measure: Callable[..., float] = r2_score if numeric else balanced_accuracy_score
    model = _estimator(probe, seed, numeric=numeric)
    folds: Any = (KFold if numeric else StratifiedKFold)(n_splits, shuffle=True, random_state=seed)
    if groups is not None:
        several = len(np.unique(groups)) > 1
        folds, groups = (LeaveOneGroupOut(), groups) if several else (folds, None)

    def found(target: NDArray[Any]) -> NDArray[Any]:
        return cross_val_predict(model, x, target, groups=groups, cv=folds)

    guess = found(y)
    score = float(measure(y, guess))
    null = []
    for _ in range(n_permutations):
        shuffled = _permute_within(y, s, rng)
        null.append(float(measure(shuffled, found(shuffled))))
    return FactorProbe(
        score=score,
        chance=float(np.mean(null)) if null else float("nan"),
        p_value=_p_value(score, null),
        **_interval(measure, y, guess, rng),
        n_rows=len(y),
    )


def joint_probe(
    blocks: Sequence[NDArray[np.floating]],
    strata: ArrayLike | None = None,
    *,
    n_splits: int = 5,
    n_permutations: int = 20,
    seed: int = 0,
) -> FactorProbe:
    """AUC of a random forest that tells rows of blocks from rows with shuffled blocks.

    Parameters
    ----------
    blocks
        Latents of each subspace, shape (rows, dimensions).
    strata
        Codes, shape (rows,): shuffling is within these.
    n_splits
        Number of folds.
    n_permutations
        Permutations behind the p-value. Both sides are shuffled there, so that chance is 0.5.
    seed
        Random seed for folds, forest, permutations and bootstrap.

    Returns
    -------
    A score of 0.5 when the subspaces are independent within strata.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(100, 2))
    >>> found = dv.metrics.joint_probe([z, z], n_permutations=0)  # one is a copy of the other
    >>> found.score > 0.8
    True
    """
    whole = np.hstack(list(blocks)).astype(np.float64)
    n, ends = len(whole), np.cumsum([b.shape[1] for b in blocks])[:-1]
    s = np.zeros(n, dtype=np.int64) if strata is None else np.asarray(strata)
    rng = np.random.default_rng(seed)

    def shuffle(x: FloatArray, rows: IntArray) -> FloatArray:
        order = np.arange(len(rows))
        parts = np.split(x[rows], ends, axis=1)
        return np.hstack([part[_permute_within(order, s[rows], rng)] for part in parts])

    def probed(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        truth, found = [], []
        for train, test in KFold(n_splits, shuffle=True, random_state=seed).split(x):
            # Shuffled inside a fold: a value on both sides would give the other row away. Margins
            # are the same on both sides, so that boosted trees would find nothing to split by.
            model = RandomForestClassifier(100, min_samples_leaf=3, random_state=seed)
            model.fit(np.vstack([x[train], shuffle(x, train)]), np.repeat([1, 0], len(train)))
            truth.append(np.repeat([1, 0], len(test)))
            found.append(model.predict_proba(np.vstack([x[test], shuffle(x, test)]))[:, 1])
        return np.concatenate(truth), np.concatenate(found)

    y, p = probed(whole)
    score, every = float(roc_auc_score(y, p)), np.arange(n)
    null = [float(roc_auc_score(*probed(shuffle(whole, every)))) for _ in range(n_permutations)]
    return FactorProbe(
        score=score,
        chance=0.5 if null else float("nan"),
        p_value=_p_value(score, null),
        **_interval(roc_auc_score, y, p, rng),
        n_rows=n,
    )


def rows_to_probe(factor: ArrayLike, *, numeric: bool = False, n_splits: int = 5) -> IntArray:
    """Find the rows by which a factor can be probed.

    Parameters
    ----------
    factor
        Levels as codes, -1 where missing, or numbers, NaN where missing; shape (rows,).
    numeric
        Whether the factor is a number.
    n_splits
        Number of folds.

    Returns
    -------
    Row numbers: those with a value, of levels with a row for each fold. None where these have fewer
    than two levels, or a number has fewer rows than folds.

    Examples
    --------
    >>> dv.metrics.rows_to_probe([0, 0, 1, 1, 2, -1], n_splits=2)
    array([0, 1, 2, 3])
    >>> dv.metrics.rows_to_probe([0, 0, 0, 0], n_splits=2)
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


def _p_value(score: float, null: Sequence[float]) -> float:
    """Share of permutations that score as well; NaN without any."""
    return (1 + sum(v >= score for v in null)) / (1 + len(null)) if null else float("nan")


def _permute_within(
    y: NDArray[Any], strata: NDArray[Any], rng: np.random.Generator
) -> NDArray[Any]:
    """Permute values within strata."""
    out = y.copy()
    for s in np.unique(strata):
        rows = np.flatnonzero(strata == s)
        out[rows] = y[rng.permutation(rows)]
    return out


def _estimator(probe: Probe, seed: int, *, numeric: bool) -> Any:
    check_choice("probe", probe, ("linear", "boosting"))
    if probe == "linear":
        ridge = RidgeCV(np.logspace(-2, 4, 13))
        logistic = LogisticRegression(max_iter=2000, class_weight="balanced")
        return make_pipeline(StandardScaler(), ridge if numeric else logistic)
    if numeric:
        return HistGradientBoostingRegressor(max_iter=60, random_state=seed)
    return HistGradientBoostingClassifier(max_iter=60, class_weight="balanced", random_state=seed)


def _interval(
    measure: Callable[..., float], y: NDArray[Any], guess: NDArray[Any], rng: np.random.Generator
) -> dict[str, float]:
    """Bootstrap a 95 % confidence interval over rows."""
    scores = []
    for _ in range(_N_BOOTSTRAPS):
        rows = rng.integers(len(y), size=len(y))
        if len(np.unique(y[rows])) > 1:
            scores.append(float(measure(y[rows], guess[rows])))
    low, high = np.quantile(scores, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}
