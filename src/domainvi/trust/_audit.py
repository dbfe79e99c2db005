"""The audit of a design: whether class and domain can be told apart, before and after training."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from domainvi.errors import InputError
from domainvi.metrics import (
    DomainProbe,
    cramers_v,
    domain_only_macro_f1,
    domain_probe,
    jensen_shannon_divergence,
    majority_macro_f1,
    mixing_error_bound,
    normalised_mutual_information,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from domainvi._checks import FloatArray, IntArray


Verdict = Literal["alignment allowed", "conditional only", "refused"]

# Cramér's V from which alignment is left to predicted classes, and above which it is refused.
CONDITIONAL_FROM = 0.3
REFUSED_ABOVE = 0.6
# Findings of one kind that are named before the others are only counted.
_SHOWN = 5


def verdict_on(
    association: float, shared: tuple[str, ...], counted: list[str], *, nested: bool
) -> tuple[Verdict, str]:
    """Return the verdict and the sentence that explains it.

    Parameters
    ----------
    association
        Bias-corrected Cramér's V of class and domain.
    shared
        Classes found in two domains or more.
    counted
        Domains with labelled rows.
    nested
        Whether some classes never meet in a domain, or a domain holds one class only.
    """
    if len(counted) == 1:
        return "conditional only", (
            f"Conditional only: {counted[0]!r} alone has labels, so whether class and domain are "
            "confounded cannot be known from them. If the other domains hold other classes, or "
            "other shares of them, aligning whole domains would mix classes up; DomainVI "
            "aligns within classes, and audits again with its predictions."
        )
    value = f"Cramér's V of class and domain is {association:.2f}"
    if len(shared) < 2:
        return "refused", (
            f"Refused: {'one class' if shared else 'no class'} is found in two domains or more, "
            f"and a transfer needs two such classes ({value}). What tells the classes apart cannot "
            "be told from what tells the domains apart."
        )
    if association > REFUSED_ABOVE:
        return "refused", (
            f"Refused: {value}, above {REFUSED_ABOVE}. Making the domains alike would make the "
            "classes alike. Add rows of the rare combinations, or transfer without alignment."
        )
    if association >= CONDITIONAL_FROM or nested:
        limit = f"at or above {CONDITIONAL_FROM}"
        if association < CONDITIONAL_FROM:
            limit = f"below {CONDITIONAL_FROM}, but some classes or domains do not overlap"
        return "conditional only", (
            f"Conditional only: {value}, {limit}. Align within the {len(shared)} shared classes, "
            "not whole domains."
        )
    return "alignment allowed", (
        f"Alignment allowed: {value}, below {CONDITIONAL_FROM}, with {len(shared)} shared classes."
    )


def nested_designs(
    table: IntArray, domains: tuple[str, ...], classes: tuple[str, ...]
) -> tuple[str, ...]:
    """Name what cannot be told apart in a table of classes by domains, one sentence a finding.

    There is none when every two classes meet in a domain and no domain holds a single class.

    Examples
    --------
    >>> nested_designs(np.array([[9, 0], [0, 9]]), ("gtex", "tcga"), ("normal", "tumor"))
    ('every class is found in one domain only: normal in gtex, tumor in tcga',)
    """
    present = table > 0
    used = np.flatnonzero(present.any(axis=1))
    where = {i: [domains[j] for j in np.flatnonzero(present[i])] for i in used}
    if len(used) > 1 and all(len(places) == 1 for places in where.values()):
        alone = [f"{classes[i]} in {places[0]}" for i, places in where.items()]
        return (f"every class is found in one domain only: {_some(alone)}",)
    apart = [
        f"{classes[a]} ({', '.join(where[a])}) and {classes[b]} ({', '.join(where[b])})"
        for a, b in combinations(used, 2)
        if not (present[a] & present[b]).any()
    ]
    lone = [
        f"{domains[j]} ({classes[present[:, j].argmax()]})"
        for j in np.flatnonzero(present.sum(axis=0) == 1)
        if len(used) > 1
    ]
    found = {
        "classes that no domain holds together": apart,
        "domains that hold one class only": lone,
    }
    return tuple(f"{finding}: {_some(items)}" for finding, items in found.items() if items)


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


_COMPONENTS = 50
# A domain with fewer rows gives the probe nothing to learn from in five folds.
_MIN_PROBE_ROWS = 10
_PROBE = "probe_"
_NAMES = frozenset({"domains", "classes", "shared_classes", "single_domain_classes", "nested"})


@dataclass(frozen=True, eq=False)
class Audit:
    """What the class proportions of the domains allow.

    Parameters
    ----------
    verdict
        ``"alignment allowed"``, ``"conditional only"`` (align within classes) or ``"refused"``.
    sentence
        The verdict and its reason in plain words.
    domains
        Names of all domains.
    classes
        Names of all classes.
    table
        Labelled rows, shape (classes, domains); with predictions, those count too.
    n_unlabelled
        Rows without a label by domain, shape (domains,).
    shared_classes
        Classes found in two domains or more.
    single_domain_classes
        Classes found in one domain only: they cannot be aligned.
    shared_fraction
        Share of the counted rows that belong to shared classes.
    cramers_v
        Bias-corrected Cramér's V; NaN when one domain is counted, like the next four.
    mutual_information
        Mutual information of class and domain over the root of the product of their entropies.
    domain_only_macro_f1
        Macro-F1 of answering with the commonest class of the domain.
    majority_macro_f1
        Macro-F1 of answering with the commonest class of all: the floor of the one before.
    mixing_error
        Largest, over pairs of domains, of the mean error that perfect mixing forces upon both.
    js_divergence
        Jensen-Shannon divergence of class proportions in bits, shape (domains, domains); NaN for
        domains without counted rows.
    nested
        Sentences about nested designs, such as tumour in one cohort and normal in the other.
    uses_predictions
        Whether predicted classes stand in for missing labels.
    probe
        What a fresh probe finds of the domain in expression values; ``None`` if not probed.
    with_predictions
        The audit after training, with predictions for missing labels; ``None`` if there is none.

    Examples
    --------
    >>> audit = dv.tl.audit_confounding(
    ...     dv.data.cohorts(), batch_key="cohort", labels_key="cancer_type"
    ... )
    >>> audit.domains, round(audit.cramers_v, 2)
    (('agilent', 'rnaseq'), 0.21)
    """

    verdict: Verdict
    sentence: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    table: IntArray
    n_unlabelled: IntArray
    shared_classes: tuple[str, ...]
    single_domain_classes: tuple[str, ...]
    shared_fraction: float
    cramers_v: float
    mutual_information: float
    domain_only_macro_f1: float
    majority_macro_f1: float
    mixing_error: float
    js_divergence: FloatArray
    nested: tuple[str, ...] = ()
    uses_predictions: bool = False
    probe: DomainProbe | None = None
    with_predictions: Audit | None = None

    def __str__(self) -> str:
        return "\n".join([self.sentence, *self.nested])

    def to_dict(self) -> dict[str, Any]:
        """Return values that h5ad can hold: strings, numbers, arrays and dicts of them.

        Returns
        -------
        The fields by name; the numbers of the probe as ``probe_<name>``, and the second audit as a
        dict, where there is one.
        """
        out: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, tuple):
                out[name] = np.array(value, dtype=str)
            elif isinstance(value, DomainProbe):
                numbers = {k: v for k, v in vars(value).items() if isinstance(v, float)}
                out |= {f"{_PROBE}{k}": v for k, v in numbers.items()}
            elif isinstance(value, Audit):
                out[name] = value.to_dict()
            elif value is not None:
                out[name] = value
        return out

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Audit:
        """Return the audit that :meth:`to_dict` described, also after h5ad.

        Parameters
        ----------
        values
            Fields by name.

        Returns
        -------
        The audit, without the probe's accuracy by class.
        """
        known = {field.name for field in fields(cls)} & values.keys()
        kept = {name: _from_file(values[name]) for name in known}
        if wrong := sorted(k for k in known & _NAMES if not isinstance(kept[k], tuple)):
            msg = f"{wrong[0]} is of type {type(kept[wrong[0]]).__name__}, not a list of names"
            raise ValueError(msg)
        if "with_predictions" in kept:
            kept["with_predictions"] = cls.from_dict(values["with_predictions"])
        probe: dict[str, Any] = {
            name.removeprefix(_PROBE): float(value)
            for name, value in values.items()
            if name.startswith(_PROBE)
        }
        return cls(**kept, probe=DomainProbe(**probe) if probe else None)


def audit_arrays(
    domain: ArrayLike,
    label: ArrayLike,
    *,
    predicted: ArrayLike | None = None,
    domain_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> Audit:
    r"""Say whether making the domains look alike would mix up the classes.

    On the table of labelled rows by class and domain, the bias-corrected Cramér's V decides
    (:func:`domainvi.metrics.cramers_v`): alignment is allowed below 0.3, within classes only up to
    0.6, and refused above that or when fewer than two classes are shared by two domains. Beside it
    stand the Jensen-Shannon divergence of class proportions, what the domain alone tells of the
    class, and the mean error that perfect mixing forces upon two domains, :math:`\tfrac14 JS`
    (half of :func:`domainvi.metrics.mixing_error_bound`; Zhao et al., ICML 2019).

    In the usual case one domain is labelled and the others are not. Labels then say nothing about
    confounding, so the verdict is "conditional only"; once there is a model, its predictions for
    the unlabelled rows can be passed as ``predicted`` and the audit covers every domain, as far as
    they are right.

    Parameters
    ----------
    domain
        Domain codes from 0, shape (rows,).
    label
        Class codes from 0, -1 for unlabelled rows, shape (rows,).
    predicted
        Predicted class codes, shape (rows,), counted where a label is missing.
    domain_names
        Names of the domain codes; the codes themselves when ``None``.
    class_names
        Names of the class codes; the codes themselves when ``None``.

    Returns
    -------
    Numbers, verdict and sentence.

    Raises
    ------
    InputError
        When there is one domain only, or no row is labelled.

    Examples
    --------
    >>> audit = audit_arrays([0, 0, 1, 1] * 20, [0, 0, 1, 1] * 20, class_names=["normal", "tumor"])
    >>> audit.verdict, audit.cramers_v
    ('refused', 1.0)
    >>> audit_arrays([0, 0, 1, 1] * 20, [0, 1, 0, 1] * 20).verdict
    'alignment allowed'
    """
    d, y = np.asarray(domain), np.asarray(label)
    known = y >= 0
    if len(np.unique(d)) < 2 or not known.any():
        msg = (
            "domain must hold two domains or more and label one labelled row or more; got "
            f"{len(np.unique(d))} domains and {int(known.sum())} labelled rows of {len(y)}."
        )
        raise InputError(msg)
    counted = y if predicted is None else np.where(known, y, predicted)
    used = counted >= 0
    domains, classes = _names(domain_names, d), _names(class_names, counted)
    table = np.zeros((len(classes), len(domains)), dtype=np.int64)
    np.add.at(table, (counted[used], d[used]), 1)
    n_unlabelled = np.bincount(d[~known], minlength=len(domains))
    return _audit_table(
        table, n_unlabelled, domains, classes, uses_predictions=bool(used.sum() > known.sum())
    )


def probe_components(features: FloatArray, domain: IntArray, label: IntArray) -> DomainProbe | None:
    """Probe the principal components of standardised features for the domain.

    Parameters
    ----------
    features
        Expression values, finite, shape (rows, features).
    domain
        Domain codes, shape (rows,).
    label
        Class codes, -1 for none, shape (rows,).

    Returns
    -------
    How well 50 components tell the domain, over all and within classes; ``None`` when fewer than
    two domains have ten rows.

    Examples
    --------
    >>> domain, label = np.tile([0, 1], 20), np.repeat([0, 1], 20)
    >>> probe_components(np.c_[domain, label], domain, label).within_class
    1.0
    """
    rows = np.bincount(domain)[domain] >= _MIN_PROBE_ROWS
    if len(np.unique(domain[rows])) < 2:
        return None
    z = StandardScaler().fit_transform(features[rows])
    n_components = min(_COMPONENTS, *z.shape)
    z = PCA(n_components, svd_solver="randomized", random_state=0).fit_transform(z)
    return domain_probe(z, domain[rows], label[rows])


def _from_file(value: Any) -> Any:
    """Text arrays as tuples, and NumPy's scalars as Python's."""
    if isinstance(value, (list, tuple)) or (
        isinstance(value, np.ndarray) and value.dtype.kind not in "biuf"
    ):
        return tuple(map(str, value))
    return value.item() if isinstance(value, np.generic) else value


def _names(names: Sequence[str] | None, codes: IntArray) -> tuple[str, ...]:
    return tuple(map(str, range(int(codes.max()) + 1) if names is None else names))


def _audit_table(
    table: IntArray,
    n_unlabelled: IntArray,
    domains: tuple[str, ...],
    classes: tuple[str, ...],
    *,
    uses_predictions: bool,
) -> Audit:
    n_domains = (table > 0).sum(axis=1)
    counted = np.flatnonzero(table.sum(axis=0) > 0)
    several = len(counted) > 1
    nan = float("nan")
    error = mixing_error_bound(table)[np.ix_(counted, counted)].max() / 2 if several else nan
    association = cramers_v(table) if several else nan
    nested = nested_designs(table, domains, classes) if several else ()
    shared = tuple(c for c, n in zip(classes, n_domains, strict=True) if n > 1)
    verdict, sentence = verdict_on(
        association, shared, [domains[i] for i in counted], nested=bool(nested)
    )
    if several and error >= 0.005 and verdict != "alignment allowed":
        sentence += (
            f" Perfect mixing would cost two of the domains at least {error:.0%} error each, "
            "on average."
        )
    if uses_predictions:
        sentence += " Predicted classes stand in for missing labels."
    return Audit(
        verdict=verdict,
        sentence=sentence,
        domains=domains,
        classes=classes,
        table=table,
        n_unlabelled=n_unlabelled,
        shared_classes=shared,
        single_domain_classes=tuple(c for c, n in zip(classes, n_domains, strict=True) if n == 1),
        shared_fraction=float(table[n_domains > 1].sum() / table.sum()),
        cramers_v=association,
        mutual_information=normalised_mutual_information(table) if several else nan,
        domain_only_macro_f1=domain_only_macro_f1(table) if several else nan,
        majority_macro_f1=majority_macro_f1(table) if several else nan,
        mixing_error=float(error),
        js_divergence=jensen_shannon_divergence(table),
        nested=nested,
        uses_predictions=uses_predictions,
    )
