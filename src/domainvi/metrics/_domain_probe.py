"""How well a fresh classifier finds the domain in latents that should not know it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from domainvi._checks import check_choice, check_column, check_matrix
from domainvi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from domainvi._checks import IntArray

Classifier = Literal["logistic", "forest"]


@dataclass(frozen=True)
class DomainProbe:
    """What a fresh probe found.

    Parameters
    ----------
    balanced_accuracy
        Mean recall over domains, out of fold.
    chance
        The same for guessing: one over the number of domains.
    a_distance
        Proxy A-distance, 0 at chance and 2 for domains that are told apart without error.
    within_class
        Mean over the probed classes of the balanced accuracy within a class; NaN without labels.
    within_class_chance
        Mean over the same classes of one over the number of domains that hold the class.
    within_class_a_distance
        Mean over the same classes of the proxy A-distance within a class.
    per_class
        Balanced accuracy of each probed class, by its code.

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
    d = _codes(check_column(domain, "domain", n))
    y = np.full(n, -1) if label is None else check_column(label, "label", n).astype(np.int64)
    unit = np.arange(n) if groups is None else _codes(check_column(groups, "groups", n))
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
    model = _estimator(classifier, seed)

    def found(rows: Any, n_folds: int) -> tuple[float, float, float]:
        """Balanced accuracy, chance and distance of some rows."""
        of_groups = groups is not None
        splitter = StratifiedGroupKFold if of_groups else StratifiedKFold
        folds = splitter(n_folds, shuffle=True, random_state=seed)
        part = unit[rows] if of_groups else None
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
    score, chance, distance = (float(np.mean(v)) for v in zip(*within.values(), strict=True))
    scores = {c: values[0] for c, values in within.items()}
    return DomainProbe(*overall, score, chance, distance, per_class=scores)


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


def _estimator(classifier: Classifier, seed: int) -> Any:
    check_choice("classifier", classifier, ("logistic", "forest"))
    if classifier == "logistic":
        model = LogisticRegression(max_iter=1000, class_weight="balanced")
        return make_pipeline(StandardScaler(), model)
    return RandomForestClassifier(
        200, min_samples_leaf=3, class_weight="balanced", random_state=seed
    )


def _codes(values: Any) -> IntArray:
    return np.unique(values, return_inverse=True)[1]


def _units(domain: IntArray, unit: IntArray) -> IntArray:
    """Count the units (rows, or groups of them) that each domain holds."""
    n_units = unit.max() + 1
    return np.bincount(np.unique(domain * n_units + unit) // n_units)
