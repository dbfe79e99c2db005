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
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from domainvi._checks import FloatArray, IntArray


_Names = tuple[str, ...]
Verdict = Literal["alignment allowed", "conditional only", "refused"]

# Cramér's V from which alignment is left to predicted classes, and above which it is refused.
CONDITIONAL_FROM = 0.3
REFUSED_ABOVE = 0.6
# Findings of one kind that are named before the others are only counted.
_SHOWN = 5
_COMPONENTS = 50
# A domain with fewer rows gives the probe nothing to learn from in five folds.
_MIN_PROBE_ROWS = 10
_PROBE = "probe_"


def verdict_on(
    association: float, shared: _Names, counted: list[str], coarse: list[str], *, nested: bool
) -> tuple[Verdict, str]:
    """Return the verdict and the sentence that explains it.

    ``counted`` are the domains with counted rows, ``coarse`` those with rows that are named at a
    coarser level alone, and the design is ``nested`` where some classes never meet in a domain, or
    a domain holds one class only.
    """
    if len(counted) == 1:
        labels = "labels"
        if coarse:
            labels += f" of the finest level (coarser ones: {_some(coarse)})"
        return "conditional only", (
            f"Conditional only: {counted[0]!r} alone has {labels}, so whether class and domain are "
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
            "classes alike. Add rows of the rare combinations; alignment is off until then."
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


def nested_designs(table: IntArray, domains: _Names, classes: _Names) -> _Names:
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
    """Name the first five, and count the others."""
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


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
    cramers_v
        Bias-corrected Cramér's V; NaN when one domain is counted, like the other numbers.
    nested
        Sentences about nested designs, such as tumour in one cohort and normal in the other.
    uses_predictions
        Whether predicted classes stand in for missing labels.
    probe
        What a fresh probe finds of the domain in expression values; ``None`` if not probed.
    with_predictions
        The audit after training, with predictions for missing labels; ``None`` if there is none.
    n_coarse
        Rows that are named at a coarser level alone by domain, shape (domains,); ``None`` where
        labels have one level.

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
    cramers_v: float
    nested: tuple[str, ...] = ()
    uses_predictions: bool = False
    probe: DomainProbe | None = None
    with_predictions: Audit | None = None
    n_coarse: IntArray | None = None

    def __str__(self) -> str:
        return "\n".join([self.sentence, *self.nested])

    @property
    def single_domain_classes(self) -> tuple[str, ...]:
        """Classes found in one domain only: they cannot be aligned."""
        alone = np.flatnonzero((self.table > 0).sum(axis=1) == 1)
        return tuple(self.classes[i] for i in alone)

    @property
    def shared_fraction(self) -> float:
        """Share of the counted rows that belong to shared classes."""
        return float(self.table[(self.table > 0).sum(axis=1) > 1].sum() / self.table.sum())

    @property
    def mutual_information(self) -> float:
        """Mutual information of class and domain over the geometric mean of their entropies."""
        return self._largest(normalised_mutual_information)

    @property
    def domain_only_macro_f1(self) -> float:
        """Macro-F1 of answering with the commonest class of the domain."""
        return self._largest(domain_only_macro_f1)

    @property
    def majority_macro_f1(self) -> float:
        """Macro-F1 of answering with the commonest class of all: the floor of the one before."""
        return self._largest(majority_macro_f1)

    @property
    def mixing_error(self) -> float:
        """Largest mean error that perfect mixing forces upon two of the domains."""
        return self._largest(mixing_error_bound) / 2

    @property
    def js_divergence(self) -> FloatArray:
        """Jensen-Shannon divergence of class proportions in bits, shape (domains, domains).

        NaN for domains without counted rows.
        """
        return jensen_shannon_divergence(self.table)

    def _largest(self, measure: Callable[[IntArray], float | FloatArray]) -> float:
        """Largest value of a measure of the table; NaN when one domain is counted."""
        several = np.count_nonzero(self.table.any(axis=0)) > 1
        return float(np.nanmax(measure(self.table))) if several else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return values that h5ad can hold: strings, numbers, arrays and dicts of them.

        Returns
        -------
        Fields and properties by name; the numbers of the probe as ``probe_<name>``, and the second
        audit as a dict, where there is one.
        """
        out: dict[str, Any] = {}
        derived = [name for name, v in vars(Audit).items() if isinstance(v, property)]
        for name, value in (vars(self) | {k: getattr(self, k) for k in derived}).items():
            if isinstance(value, tuple):
                out[name] = np.array(value, dtype=str)
            elif isinstance(value, DomainProbe):
                out |= {_PROBE + k: v for k, v in vars(value).items() if isinstance(v, float)}
            elif isinstance(value, Audit):
                out[name] = value.to_dict()
            elif value is not None:
                out[name] = value
        return out

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Audit:
        """Undo :meth:`to_dict`, also after h5ad; the probe's accuracy by class is not kept."""
        kept = {f.name: _from_file(values[f.name]) for f in fields(cls) if f.name in values}
        if wrong := sorted(k for k in _NAMES & kept.keys() if not isinstance(kept[k], tuple)):
            msg = f"{wrong[0]} is of type {type(kept[wrong[0]]).__name__}, not a list of names"
            raise ValueError(msg)
        if "with_predictions" in kept:
            kept["with_predictions"] = cls.from_dict(values["with_predictions"])
        probe: dict[str, Any] = {
            k.removeprefix(_PROBE): float(v) for k, v in values.items() if k.startswith(_PROBE)
        }
        return cls(**kept, probe=DomainProbe(**probe) if probe else None)


def audit_arrays(
    domain: ArrayLike,
    label: ArrayLike,
    *,
    predicted: ArrayLike | None = None,
    coarse: ArrayLike | None = None,
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
    domain, label, predicted
        Codes from 0, shape (rows,); label -1 for unlabelled rows, where the predicted class counts.
    coarse
        Which of the rows with label -1 are named at a coarser level; ``None`` where there is none.
    domain_names, class_names
        Names of the codes; the codes themselves when ``None``.

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
    domains, classes = (
        tuple(map(str, range(int(codes.max()) + 1) if names is None else names))
        for codes, names in ((d, domain_names), (counted, class_names))
    )
    table = np.zeros((len(classes), len(domains)), dtype=np.int64)
    np.add.at(table, (counted[used], d[used]), 1)
    shared = tuple(classes[i] for i in np.flatnonzero((table > 0).sum(axis=1) > 1))
    held = [domains[i] for i in np.flatnonzero(table.any(axis=0))]
    association = cramers_v(table) if len(held) > 1 else float("nan")
    nested = nested_designs(table, domains, classes) if len(held) > 1 else ()
    named = ~known & (np.zeros(len(y), dtype=bool) if coarse is None else np.asarray(coarse))
    missing, coarser = (np.bincount(d[r], minlength=len(domains)) for r in (~known & ~named, named))
    above = [domains[i] for i in np.flatnonzero(coarser)]
    verdict, sentence = verdict_on(association, shared, held, above, nested=bool(nested))
    if len(held) > 1 and verdict != "alignment allowed":
        error = np.nanmax(mixing_error_bound(table)) / 2
        if error >= 0.005:
            sentence += (
                f" Perfect mixing would cost two of the domains at least {error:.0%} error each, "
                "on average."
            )
    predicts = bool((used & ~known).any())
    if predicts:
        sentence += " Predicted classes stand in for missing labels."
    return Audit(
        verdict,
        sentence,
        domains,
        classes,
        table,
        missing,
        shared,
        association,
        nested,
        predicts,
        n_coarse=None if coarse is None else coarser,
    )


def probe_components(features: FloatArray, domain: IntArray, label: IntArray) -> DomainProbe | None:
    """Probe 50 principal components of standardised features for the domain; label -1 for none.

    It is ``None`` when fewer than two domains have ten rows.

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
    is_text = isinstance(value, np.ndarray) and value.dtype.kind not in "biuf"
    if is_text or isinstance(value, (list, tuple)):
        return tuple(map(str, value))
    return value.item() if isinstance(value, np.generic) else value
