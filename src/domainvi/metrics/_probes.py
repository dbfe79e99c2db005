"""How well fresh probes, trained to convergence, find a domain, factor or dependence in latents."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import (
    KFold,
    LeaveOneGroupOut,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from domainvi._checks import check_choice, check_column, check_matrix
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from domainvi._checks import FloatArray, IntArray

Classifier = Literal["logistic", "forest"]
Probe = Literal["linear", "boosting"]
_N_BOOTSTRAPS = 200


@dataclass(frozen=True)
class DomainProbe:
    """What a fresh probe found.

    Parameters
    ----------
    balanced_accuracy, chance
        Mean recall over domains, out of fold, and that of guessing: one over their number.
    a_distance
        Proxy A-distance, 0 at chance and 2 for domains that are told apart without error.
    within_class
        Mean over the probed classes of the balanced accuracy within a class; NaN without labels.
    within_class_chance
        Mean over the same classes of one over the number of domains that were probed.
    within_class_a_distance
        Mean over the same classes of the proxy A-distance within a class.
    per_class, per_class_chance, per_class_a_distance
        The same three of each probed class, by its code; chance is one over the number of its
        domains that were probed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> domain = np.repeat([0, 1], 100)
    >>> found = dv.metrics.domain_probe(rng.normal(size=(200, 3)) + 9 * domain[:, None], domain)
    >>> found.balanced_accuracy, found.chance
    (1.0, 0.5)
    """

    balanced_accuracy: float
    chance: float
    a_distance: float
    within_class: float = float("nan")
    within_class_chance: float = float("nan")
    within_class_a_distance: float = float("nan")
    per_class: dict[int, float] = field(default_factory=dict)
    per_class_chance: dict[int, float] = field(default_factory=dict)
    per_class_a_distance: dict[int, float] = field(default_factory=dict)


def domain_probe(
    z: ArrayLike,
    domain: ArrayLike,
    label: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_splits: int = 5,
    seed: int = 0,
    classifier: Classifier = "logistic",
) -> DomainProbe:
    r"""Train a fresh probe to find the domain, and score it on rows that it did not see.

    Balanced accuracy :math:`D^{-1} \sum_d P(\hat d = d \mid d)`, out of fold, against chance
    :math:`1/D`. The accuracy of the discriminator that was trained along says nothing: it is
    behind by construction. The probe over all rows finds the domain also when only the class
    proportions differ, so the number to read is the one within classes: the same probe on the rows
    of one class, averaged over the classes that two domains or more hold with at least
    ``n_splits`` rows (or groups) each.

    Parameters
    ----------
    z
        Latents or any features, shape (rows, dimensions).
    domain
        Domain codes, shape (rows,).
    label
        Class codes, -1 for rows without a label; ``None`` leaves the within-class numbers NaN.
    groups
        Patients or other units that must not be on both sides of a fold.
    n_splits
        Folds; fewer are used where a domain is smaller.
    seed
        Random seed for the folds and the forest.
    classifier
        ``"logistic"`` on standardised dimensions, or ``"forest"`` for domains that no plane
        separates.

    Returns
    -------
    Scores, chance levels and proxy A-distances.

    Raises
    ------
    InputError
        When shapes differ, values are not finite, or fewer than two domains have two rows (or
        groups).

    Examples
    --------
    >>> domain = np.repeat([0, 1], 50)
    >>> probe = dv.metrics.domain_probe(np.c_[domain * 9.0, np.ones(100)], domain)
    >>> probe.balanced_accuracy, probe.chance, probe.a_distance
    (1.0, 0.5, 2.0)
    """
    x = check_matrix(z, "z")
    n = len(x)
    d = np.unique(check_column(domain, "domain", n), return_inverse=True)[1]
    y = np.full(n, -1) if label is None else check_column(label, "label", n).astype(np.int64)
    unit = np.arange(n) if groups is None else check_column(groups, "groups", n)
    unit = np.unique(unit, return_inverse=True)[1]
    units = _units(d, unit)
    if n_splits < 2:
        msg = f"n_splits={n_splits} must be two or more."
        raise InputError(msg)
    if len(units) < 2 or units.min() < 2:
        msg = (
            "domain must hold two domains or more with two rows (or groups) each; got "
            f"{len(units)} domains, the smallest with {units.min()}. Leave out the small ones."
        )
        raise InputError(msg)
    check_choice("classifier", classifier, ("logistic", "forest"))
    options: dict[str, Any] = {"class_weight": "balanced", "random_state": seed}
    model: Any = RandomForestClassifier(200, min_samples_leaf=3, **options)
    if classifier == "logistic":
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, **options))

    def found(rows: Any, n_folds: int) -> tuple[float, float, float]:
        """Balanced accuracy, chance and distance of some rows."""
        splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
        folds = splitter(n_folds, shuffle=True, random_state=seed)
        part = None if groups is None else unit[rows]
        guess = cross_val_predict(model, x[rows], d[rows], groups=part, cv=folds)
        score, chance = balanced_accuracy_score(d[rows], guess), 1 / len(np.unique(d[rows]))
        # More than two domains: the error is stretched so that guessing has error one half.
        error = 0.5 * min(1.0, (1 - score) / (1 - chance))
        return float(score), chance, proxy_a_distance(error)

    overall = found(slice(None), min(n_splits, int(units.min())))
    within = {}
    for c in np.unique(y[y >= 0]).tolist():
        rows = np.flatnonzero(y == c)
        rows = rows[_units(d[rows], unit[rows])[d[rows]] >= n_splits]
        if len(np.unique(d[rows])) > 1:
            within[c] = found(rows, n_splits)
    if not within:
        return DomainProbe(*overall)
    parts = [dict(zip(within, v, strict=True)) for v in zip(*within.values(), strict=True)]
    score, chance, distance = (float(np.mean([*part.values()])) for part in parts)
    return DomainProbe(*overall, score, chance, distance, *parts)


def proxy_a_distance(error: float) -> float:
    r"""Return :math:`2 (1 - 2 \varepsilon)` for the error of a two-domain classifier, not below 0.

    Source: Ben-David et al., NeurIPS 2006. An error above one half is noise, so the distance is cut
    at zero.

    Parameters
    ----------
    error
        Out-of-fold error rate, between 0 and 1, with both domains weighing the same.

    Returns
    -------
    Between 0 (not told apart) and 2.

    Examples
    --------
    >>> [dv.metrics.proxy_a_distance(error) for error in (0.0, 0.25, 0.5)]
    [2.0, 1.0, 0.0]
    """
    if not 0 <= error <= 1:
        msg = f"error={error} must be an error rate between 0 and 1."
        raise InputError(msg)
    return max(0.0, 2 * (1 - 2 * error))


def _units(domain: IntArray, unit: IntArray) -> IntArray:
    """Count the units (rows, or groups of them) that each domain holds."""
    n_units = unit.max() + 1
    return np.bincount(np.unique(domain * n_units + unit) // n_units)


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

    guess, null = found(y), []
    for _ in range(n_permutations):
        shuffled = _permute_within(y, s, rng)
        null.append(float(measure(shuffled, found(shuffled))))
    return _summary(measure, y, guess, null, rng)


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

    (y, p), every = probed(whole), np.arange(n)
    null = [float(roc_auc_score(*probed(shuffle(whole, every)))) for _ in range(n_permutations)]
    found = _summary(roc_auc_score, y, p, null, rng)
    return replace(found, chance=0.5 if null else float("nan"), n_rows=n)


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


def _permute_within(y: NDArray[Any], strata: IntArray, rng: np.random.Generator) -> NDArray[Any]:
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


def _summary(
    measure: Callable[..., float],
    y: NDArray[Any],
    guess: NDArray[Any],
    null: list[float],
    rng: np.random.Generator,
) -> FactorProbe:
    """Score, the share of permutations that score as well, and a 95 % interval by bootstrap."""
    score, scores = float(measure(y, guess)), []
    for _ in range(_N_BOOTSTRAPS):
        rows = rng.integers(len(y), size=len(y))
        if len(np.unique(y[rows])) > 1:
            scores.append(float(measure(y[rows], guess[rows])))
    low, high = map(float, np.quantile(scores, [0.025, 0.975]))
    p_value = (1 + sum(v >= score for v in null)) / (1 + len(null)) if null else float("nan")
    return FactorProbe(score, float(np.mean(null or [np.nan])), p_value, low, high, len(y))
