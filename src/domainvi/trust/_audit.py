"""The audit before training: whether class and domain can be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvi.data._nested import nested_designs
from domainvi.data._probe import probe_components
from domainvi.data._verdict import Verdict, judge
from domainvi.errors import InputError
from domainvi.metrics import (
    DomainProbe,
    cramers_v,
    domain_only_macro_f1,
    jensen_shannon_divergence,
    majority_macro_f1,
    mixing_error_bound,
    normalised_mutual_information,
)


@dataclass(frozen=True, eq=False)
class Audit:
    """What the class mixes of the domains allow.

    Attributes
    ----------
    verdict
        "alignment allowed", "conditional only" (align within classes) or "refused".
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
        Macro-F1 of answering with the commonest class of all: the floor of the figure before.
    mixing_error
        Largest, over pairs of domains, of the mean error that perfect mixing forces upon both.
    js_divergence
        Jensen-Shannon divergence of class mixes in bits, shape (domains, domains); NaN for domains
        without counted rows.
    nested
        Sentences about nested designs, such as tumour in one cohort and normal in the other.
    uses_predictions
        Whether predicted classes stand in for missing labels.
    probe
        What a fresh probe finds of the domain in the features; None without features.

    Examples
    --------
    >>> import domainvi as dv
    >>> adata = dv.data.cohorts()
    >>> audit = dv.tl.audit_confounding(adata, batch_key="cohort", labels_key="cancer_type")
    >>> audit.domains, round(audit.cramers_v, 2)
    (('agilent', 'rnaseq'), 0.21)
    """

    verdict: Verdict
    sentence: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    table: npt.NDArray[np.int64]
    n_unlabelled: npt.NDArray[np.int64]
    shared_classes: tuple[str, ...]
    single_domain_classes: tuple[str, ...]
    shared_fraction: float
    cramers_v: float
    mutual_information: float
    domain_only_macro_f1: float
    majority_macro_f1: float
    mixing_error: float
    js_divergence: npt.NDArray[np.float64]
    nested: tuple[str, ...] = ()
    uses_predictions: bool = False
    probe: DomainProbe | None = None

    def __str__(self) -> str:
        return "\n".join([self.sentence, *self.nested])

    def to_dict(self) -> dict[str, Any]:
        """Return values that h5ad can hold: strings, numbers and arrays of them.

        Returns
        -------
        dict
            The attributes by name; the figures of the probe as `probe_<figure>`, when there is one.
        """
        out = {
            k: np.array(v, dtype=str) if isinstance(v, tuple) else v
            for k, v in vars(self).items()
            if k != "probe"
        }
        if self.probe is not None:
            figures = {k: v for k, v in vars(self.probe).items() if isinstance(v, float)}
            out |= {f"probe_{k}": v for k, v in figures.items()}
        return out


def audit_arrays(
    domain: npt.ArrayLike,
    label: npt.ArrayLike,
    features: npt.ArrayLike | None = None,
    *,
    predicted: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    domain_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
) -> Audit:
    r"""Say whether making the domains look alike would mix up the classes.

    Maths first, on the table of labelled rows by class and domain: the bias-corrected Cramér's V
    decides (`metrics.cramers_v`): alignment is allowed below 0.3, within classes only up to 0.6,
    and refused above that or when fewer than two classes are shared by two domains. Beside it stand
    the Jensen-Shannon divergence of class mixes, what the domain alone tells of the class, and the
    mean error that perfect mixing forces upon two domains, :math:`\tfrac14 JS` (half of
    `metrics.mixing_error_bound`; Zhao et al., ICML 2019).

    In the usual case one domain is labelled and the others are not. Labels then say nothing about
    confounding, so the verdict is "conditional only"; once there is a model, its predictions for
    the unlabelled rows can be passed as `predicted` and the audit covers every domain, as far as
    they are right.

    Parameters
    ----------
    domain
        Domain codes from 0, shape (rows,).
    label
        Class codes from 0, -1 for unlabelled rows, shape (rows,).
    features
        Expression values or latents, shape (rows, features), for a probe that says how well the
        domain can be told from 50 principal components, over all and within classes. None for no
        probe.
    predicted
        Predicted class codes, shape (rows,), counted where a label is missing.
    groups
        Patients or other units that the probe must not see on both sides of a fold.
    domain_names
        Names of the codes; the codes themselves when None.
    class_names
        Names of the codes; the codes themselves when None.
    seed
        Seed of the probe.

    Returns
    -------
    Audit
        Figures, verdict and sentence.

    Raises
    ------
    InputError
        When shapes or codes are not valid, there is one domain only, or no row is labelled.

    Examples
    --------
    >>> audit = audit_arrays([0, 0, 1, 1] * 20, [0, 0, 1, 1] * 20, class_names=["normal", "tumor"])
    >>> audit.verdict, audit.cramers_v
    ('refused', 1.0)
    >>> audit_arrays([0, 0, 1, 1] * 20, [0, 1, 0, 1] * 20).verdict
    'alignment allowed'
    """
    d, y = _codes(domain, "domain", 0), _codes(label, "label", -1)
    guess = y if predicted is None else _codes(predicted, "predicted", -1)
    if not len(d) == len(y) == len(guess):
        raise InputError(
            "`domain`, `label` and `predicted` must have one length; got "
            f"{len(d)}, {len(y)} and {len(guess)}."
        )
    counted = np.where(y >= 0, y, guess)
    domains = _names(domain_names, d, "domain_names")
    classes = _names(class_names, counted, "class_names")
    if len(np.unique(d)) < 2 or (y < 0).all():
        raise InputError(
            f"`domain` must hold two domains or more and `label` one labelled row or more; got "
            f"{len(np.unique(d))} domains and {int((y >= 0).sum())} labelled rows of {len(y)}."
        )
    table = np.zeros((len(classes), len(domains)), dtype=np.int64)
    np.add.at(table, (counted[counted >= 0], d[counted >= 0]), 1)
    return _build(
        table,
        np.bincount(d[y < 0], minlength=len(domains)),
        domains,
        classes,
        uses_predictions=bool((counted >= 0).sum() > (y >= 0).sum()),
        probe=None if features is None else probe_components(features, d, counted, groups, seed),
    )


def _codes(values: npt.ArrayLike, name: str, lowest: int) -> npt.NDArray[np.int64]:
    out = np.asarray(values)
    if out.ndim != 1 or len(out) == 0 or not np.issubdtype(out.dtype, np.integer):
        raise InputError(
            f"`{name}` must hold one integer code for each row; got shape {out.shape} and dtype "
            f"{out.dtype}."
        )
    if out.min() < lowest:
        raise InputError(f"`{name}` must hold codes from {lowest}; got {out.min()}.")
    return out.astype(np.int64)


def _names(
    names: Sequence[str] | None, codes: npt.NDArray[np.int64], argument: str
) -> tuple[str, ...]:
    n = int(codes.max()) + 1
    if names is None:
        return tuple(str(i) for i in range(n))
    if len(names) < n:
        raise InputError(f"`{argument}` has {len(names)} names; the codes go up to {n - 1}.")
    return tuple(str(name) for name in names)


def _build(
    table: npt.NDArray[np.int64],
    n_unlabelled: npt.NDArray[np.int64],
    domains: tuple[str, ...],
    classes: tuple[str, ...],
    *,
    uses_predictions: bool,
    probe: DomainProbe | None,
) -> Audit:
    n_domains = (table > 0).sum(axis=1)
    counted = np.flatnonzero(table.sum(axis=0) > 0)
    several = len(counted) > 1
    error = mixing_error_bound(table)[np.ix_(counted, counted)].max() / 2 if several else np.nan
    association = cramers_v(table) if several else float("nan")
    nested = nested_designs(table, domains, classes) if several else ()
    shared = tuple(c for c, n in zip(classes, n_domains, strict=True) if n > 1)
    verdict, sentence = judge(association, shared, [domains[i] for i in counted], bool(nested))
    if several and error >= 0.005 and verdict != "alignment allowed":
        sentence += (
            f" Perfect mixing would cost two of the domains at least {error:.0%} error each, "
        )
        sentence += "on average."
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
        mutual_information=normalised_mutual_information(table) if several else float("nan"),
        domain_only_macro_f1=domain_only_macro_f1(table) if several else float("nan"),
        majority_macro_f1=majority_macro_f1(table) if several else float("nan"),
        mixing_error=float(error),
        js_divergence=jensen_shannon_divergence(table),
        nested=nested,
        uses_predictions=uses_predictions,
        probe=probe,
    )
