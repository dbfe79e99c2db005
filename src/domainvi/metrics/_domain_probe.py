"""How well a fresh classifier finds the domain in latents that should not know it."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from domainvi.errors import InputError
from domainvi.metrics._check import FloatArray, IntArray, check_matrix

Classifier = Literal["logistic", "forest"]


@dataclass(frozen=True)
class DomainProbe:
    """What a fresh probe found.

    Attributes
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
    >>> import numpy as np
    >>> from domainvi.metrics import domain_probe
    >>> rng = np.random.default_rng(0)
    >>> domain = np.repeat([0, 1], 100)
    >>> found = domain_probe(rng.normal(size=(200, 3)) + 9 * domain[:, None], domain)
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
    float
        Between 0 (not told apart) and 2.

    Raises
    ------
    InputError
        When the error is not between 0 and 1.

    Examples
    --------
    >>> proxy_a_distance(0.0), proxy_a_distance(0.25), proxy_a_distance(0.5)
    (2.0, 1.0, 0.0)
    """
    if not 0 <= error <= 1:
        raise InputError(f"`error` must be an error rate between 0 and 1; got {error}.")
    return max(0.0, 2 * (1 - 2 * error))


def _a_distance(score: float, chance: float) -> float:
    # More than two domains: the error is stretched so that guessing has error one half.
    return proxy_a_distance(0.5 * min(1.0, (1 - score) / (1 - chance)))


def _estimator(classifier: Classifier, seed: int) -> Any:
    if classifier == "logistic":
        return make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced")
        )
    if classifier == "forest":
        return RandomForestClassifier(
            200, min_samples_leaf=3, class_weight="balanced", random_state=seed
        )
    raise InputError(f"`classifier` must be 'logistic' or 'forest'; got {classifier!r}.")


def _units(domain: IntArray, groups: npt.NDArray[np.generic] | None) -> int:
    """Return the smallest number of rows, or groups, that a domain holds: folds cannot be more."""
    parts = (domain == d for d in np.unique(domain))
    return min(int(m.sum()) if groups is None else len(np.unique(groups[m])) for m in parts)


def _cross_fit(
    z: FloatArray,
    domain: IntArray,
    groups: npt.NDArray[np.generic] | None,
    n_splits: int,
    classifier: Classifier,
    seed: int,
) -> float:
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = splitter(n_splits, shuffle=True, random_state=seed)
    found = cross_val_predict(_estimator(classifier, seed), z, domain, groups=groups, cv=folds)
    return float(balanced_accuracy_score(domain, found))


def _check(
    z: npt.ArrayLike, columns: dict[str, npt.ArrayLike | None], n_splits: int
) -> tuple[FloatArray, dict[str, npt.NDArray[np.generic] | None]]:
    matrix = check_matrix(z, "z")
    out = {k: None if v is None else np.asarray(v) for k, v in columns.items()}
    for name, column in out.items():
        if column is not None and column.shape != (len(matrix),):
            raise InputError(
                f"`{name}` must hold one value for each of the {len(matrix)} rows of `z`; got "
                f"shape {column.shape}."
            )
    if n_splits < 2:
        raise InputError(f"`n_splits` must be two or more; got {n_splits}.")
    return matrix, out


def domain_probe(
    z: npt.ArrayLike,
    domain: npt.ArrayLike,
    label: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    n_splits: int = 5,
    seed: int = 0,
    classifier: Classifier = "logistic",
) -> DomainProbe:
    r"""Train a fresh probe to find the domain, and score it on rows that it did not see.

    Maths first: balanced accuracy :math:`D^{-1} \sum_d P(\hat d = d \mid d)`, out of fold, against
    chance :math:`1/D`. The accuracy of the discriminator that was trained along says nothing: it is
    behind by construction. The probe over all rows finds the domain also when only the class mix
    differs, so the figure to read is the one within classes: the same probe on the rows of one
    class, averaged over the classes that two domains or more hold with at least `n_splits` rows (or
    groups) each.

    Parameters
    ----------
    z
        Latents or any features, shape (rows, dimensions).
    domain
        Domain codes, shape (rows,).
    label
        Class codes, -1 for rows without a label; None leaves the within-class figures NaN.
    groups
        Patients or other units that must not be on both sides of a fold.
    n_splits
        Folds; fewer are used where a domain is smaller.
    seed
        Seed of the folds and of the forest.
    classifier
        "logistic" on standardised dimensions, or "forest" for domains that no plane separates.

    Returns
    -------
    DomainProbe
        Scores, chance levels and proxy A-distances.

    Raises
    ------
    InputError
        When shapes differ, values are not finite, or fewer than two domains have two rows (or
        groups).

    Examples
    --------
    >>> import numpy as np
    >>> domain = np.repeat([0, 1], 50)
    >>> probe = domain_probe(np.c_[domain * 9.0, np.ones(100)], domain)
    >>> probe.balanced_accuracy, probe.chance, probe.a_distance
    (1.0, 0.5, 2.0)
    """
    matrix, columns = _check(z, {"domain": domain, "label": label, "groups": groups}, n_splits)
    d, y, g = np.asarray(domain), columns["label"], columns["groups"]
    n_domains = len(np.unique(d))
    if n_domains < 2 or _units(d, g) < 2:
        raise InputError(
            "`domain` must hold two domains or more with two rows (or groups) each; got "
            f"{n_domains} domains, the smallest with {_units(d, g)}. Leave out the small ones."
        )
    score = _cross_fit(matrix, d, g, min(n_splits, _units(d, g)), classifier, seed)
    chance = 1 / n_domains
    overall = DomainProbe(score, chance, _a_distance(score, chance))
    if y is None:
        return overall
    return _within_class(overall, matrix, d, y, g, n_splits, classifier, seed)


def _within_class(
    overall: DomainProbe,
    z: FloatArray,
    domain: IntArray,
    label: npt.NDArray[Any],
    groups: npt.NDArray[np.generic] | None,
    n_splits: int,
    classifier: Classifier,
    seed: int,
) -> DomainProbe:
    scores: dict[int, float] = {}
    chances: dict[int, float] = {}
    for c in np.unique(label[label >= 0]).tolist():
        rows = label == c
        for d in np.unique(domain[rows]):
            own = rows & (domain == d)
            part = None if groups is None else groups[own]
            if _units(domain[own], part) < n_splits:
                rows &= domain != d
        if len(np.unique(domain[rows])) < 2:
            continue
        part = None if groups is None else groups[rows]
        scores[c] = _cross_fit(z[rows], domain[rows], part, n_splits, classifier, seed)
        chances[c] = 1 / len(np.unique(domain[rows]))
    if not scores:
        return overall
    return DomainProbe(
        overall.balanced_accuracy,
        overall.chance,
        overall.a_distance,
        within_class=float(np.mean(list(scores.values()))),
        within_class_chance=float(np.mean(list(chances.values()))),
        within_class_a_distance=float(
            np.mean([_a_distance(scores[c], chances[c]) for c in scores])
        ),
        per_class=scores,
    )
