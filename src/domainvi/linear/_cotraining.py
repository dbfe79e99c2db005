"""The linear anchor: input scaling and linear members, fitted before the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ._cross_fit import cross_fit, sharpen
from ._tables import (
    Table,
    TrainingRows,
    blocks,
    domain_table,
    gene_weights,
    labelled_table,
    mix_table,
    source_table,
    standardise,
)
from ._views import (
    LinearMember,
    View,
    balanced_weights,
    confident_rows,
    logistic,
    softmax,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = (0.3, 0.4, 0.5, 0.6)
FREE_SHARPNESS = 1.15
# With fewer labels a class than this, a target teaches itself; with more, its labels do.
MIN_LABELS = 3
# A target with this many labels a class gets half of the weight.
HALF_SHARE = 4
# Rows of each class that a target is taken to have beyond those seen.
PSEUDO_ROWS = 5


@dataclass(frozen=True)
class Anchor:
    """What the anchor hands to the model.

    Parameters
    ----------
    table
        Centre and scale by domain for the network's input.
    members
        Fitted linear classifiers by name.
    twin
        The un-adapted classifier that the members are blended with: logistic regression on each
        domain's own z-scores, labelled rows only.
    doubt
        Share of the twin in the blend.
    agreement
        Cohen's kappa of the two readings of the target; ``None`` where they were not compared.
    log_prior
        What is added to the scores of each domain's rows, ``(n_domains, n_classes)``.
    sharpness
        Exponent of the averaged probabilities.
    probs
        Class probabilities of the rows, shape ``(n_rows, n_classes)``.
    mix
        Class proportions that the table refers to.
    """

    table: Table
    members: dict[str, LinearMember]
    twin: LinearMember
    doubt: float
    agreement: float | None
    log_prior: NDArray[np.float64]
    sharpness: float
    probs: NDArray[np.float64]
    mix: NDArray[np.float64]


def fit_anchor(rows: TrainingRows) -> Anchor:
    r"""Average linear classifiers that differ in how rows are standardised and genes weighted.

    The members: *plain* (each domain by itself), *focused* (the same, genes weighted by how they
    differ between classes) and *shared* (all domains by the source, weighted by its agreement with
    the others beyond chance, Cohen's :math:`\kappa^2`); where a target has some labels, also
    *labelled* (targets centred at their labelled rows). Labelled target rows get the share
    :math:`n / (n + 4)` of the weight, for :math:`n` labels a class.

    As long as a target has fewer than three labels a class, the members teach each other: in four
    rounds the most confident 30, 40, 50 and 60 % of each predicted class join the labelled rows,
    and domains are standardised anew to one class mix, that of the square roots of the source's
    class counts (:func:`mix_table`). When every target has more, there is no self-training:
    *source* joins (plain, without target labels), and the weights of all come from cross-fitting
    on the labelled target rows (:func:`cross_fit`).

    The result is blended with its un-adapted *twin*, logistic regression on z-scores. Without
    enough labels in the target, the share of the members is the agreement (:math:`\kappa`) of
    *shared* with *plain* and *focused*, which standardise the target by its own rows and by the
    source's; with enough of them the cross-fitted members stand alone. Where a
    target has labels, its class mix is estimated and the scores are corrected for it
    (:func:`class_mix_correction`).

    Self-training follows Yarowsky (ACL 1995), co-training Blum and Mitchell (COLT 1998), and the
    class-wise standardisation is an expectation-maximisation in their spirit.
    """
    per_class, partly = labels_per_class(rows), rows.partly_labelled()
    share = float(per_class[partly].mean()) if partly.any() else 0.0
    share /= share + HALF_SHARE
    free = ~rows.in_source & ~rows.labelled & (per_class < MIN_LABELS)[rows.domain]
    count = np.bincount(rows.label[rows.in_source & rows.labelled], minlength=rows.n_classes)
    mix = np.sqrt(count) / np.sqrt(count).sum()
    anchored = bool(partly.any()) and not free.any()
    views = _views(rows, anchored)
    for view in views.values():
        view.fit(rows.label, balanced_weights(rows, share, use_target=view.uses_target_labels))
    twin, twin_probs = fit_twin(rows, views["plain"].table)
    sharpness, agreed = FREE_SHARPNESS, None
    if anchored:
        sharpness = cross_fit(rows, views, share)
        probs, table = _average(views), views["labelled"].table
    else:
        probs, table = _vote(rows, views), views["plain"].table
        if free.any():
            probs, table = _teach(rows, views, probs, free, mix, share)
            agreed = _shared_agreement(rows, views)
    doubt = 0.0 if agreed is None else 1 - agreed
    probs = (1 - doubt) * sharpen(probs, sharpness) + doubt * twin_probs
    log_prior = class_mix_correction(rows, probs)
    probs = probs * np.exp(log_prior[rows.domain])
    return Anchor(
        table=table,
        members={name: view.member() for name, view in views.items()},
        twin=twin,
        doubt=doubt,
        agreement=agreed,
        log_prior=log_prior,
        sharpness=sharpness,
        probs=probs / probs.sum(axis=1, keepdims=True),
        mix=mix,
    )


def fit_twin(rows: TrainingRows, table: Table) -> tuple[LinearMember, NDArray[np.float64]]:
    """Fit logistic regression (C = 0.01, classes balanced) on every gene; also its predictions."""
    known = rows.labelled
    label = rows.label[known]
    weight = 1 / np.bincount(label)[label]
    weight *= len(label) / weight.sum()
    s = standardise(rows.x[known], rows.domain[known], table, 1.0)
    coef, intercept = logistic(s, label, weight, rows.n_classes, strength=0.01)
    scores = [
        standardise(rows.x[some], rows.domain[some], table) @ coef for some in blocks(len(rows.x))
    ]
    return LinearMember(table, coef, intercept, 1.0), softmax(np.concatenate(scores) + intercept)


def class_mix_correction(rows: TrainingRows, probs: NDArray[np.float64]) -> NDArray[np.float64]:
    r"""Log-odds by which the classes of a partly labelled target differ from balanced ones.

    The members are trained with balanced classes, and their targets need not be. With predictions
    :math:`p`, labelled rows :math:`n_k` and :math:`N` rows in all, :math:`\pi_k = (\sum_i p_{ik}
    + n_k + 5) / (N + 5K)` over a domain, and :math:`\log K \pi_k` is added to the scores: one
    step of the expectation-maximisation of Saerens, Latinne and Decaestecker (Neural Computation
    2002) with a prior. Domains without labels get 0, since the same step harms there.

    Returns
    -------
    Shape ``(n_domains, n_classes)``.
    """
    out = np.zeros((rows.n_domains, rows.n_classes))
    for d in np.flatnonzero(rows.partly_labelled()):
        inside = rows.domain == d
        expected = probs[inside & ~rows.labelled].sum(axis=0) + PSEUDO_ROWS
        expected += rows.one_hot[inside].sum(axis=0)
        out[d] = np.log(rows.n_classes * expected / expected.sum())
    return out


def labels_per_class(rows: TrainingRows) -> NDArray[np.float64]:
    """Labelled rows of each domain over the number of classes, shape ``(n_domains,)``."""
    n = np.bincount(rows.domain[rows.labelled], minlength=rows.n_domains)
    return n / rows.n_classes


def _views(rows: TrainingRows, anchored: bool) -> dict[str, View]:
    by_domain, genes = domain_table(rows), gene_weights(rows)
    every_gene = np.ones_like(genes)
    views = {
        "plain": View(rows, by_domain, every_gene),
        "focused": View(rows, by_domain, genes),
        "shared": View(rows, source_table(rows), genes),
    }
    if rows.partly_labelled().any():
        table = labelled_table(rows, by_domain)
        views["labelled"] = View(rows, table, genes, is_labelled_table=True)
    if anchored:
        views["source"] = View(rows, by_domain, every_gene, uses_target_labels=False)
    return views


def _teach(
    rows: TrainingRows,
    views: dict[str, View],
    probs: NDArray[np.float64],
    free: NDArray[np.bool_],
    mix: NDArray[np.float64],
    target_share: float,
) -> tuple[NDArray[np.float64], Table]:
    """Run the rounds of self-training; return the new vote and table."""
    table, weight = views["plain"].table, balanced_weights(rows, target_share)
    for i, share in enumerate(ROUNDS):
        if i:
            table = mix_table(rows, probs, mix)
            views["plain"].standardise_by(table)
            views["focused"].standardise_by(table)
        label, extra = confident_rows(probs, rows, free, share)
        for view in views.values():
            view.fit(label, weight + extra)
        probs = _vote(rows, views)
    return probs, table


def _average(views: dict[str, View]) -> NDArray[np.float64]:
    weights = np.array([v.weight for v in views.values()])
    return np.tensordot(weights / weights.sum(), np.stack([v.probs for v in views.values()]), 1)


def _vote(rows: TrainingRows, views: dict[str, View]) -> NDArray[np.float64]:
    """Average the members; the shared one counts by its agreement with the two others."""
    target = ~rows.in_source
    if target.any():
        views["shared"].weight = _shared_agreement(rows, views) ** 2
    return _average(views)


def _shared_agreement(rows: TrainingRows, views: dict[str, View]) -> float:
    """Agreement of the shared member with the two others on target rows."""
    target = ~rows.in_source
    both = views["plain"].probs[target] + views["focused"].probs[target]
    return agreement(views["shared"].probs[target], both)


def agreement(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Cohen's kappa of two sets of predictions, at least 0 (Cohen 1960)."""
    a, b, k = p.argmax(axis=1), q.argmax(axis=1), p.shape[1]
    chance = float(np.bincount(a, minlength=k) @ np.bincount(b, minlength=k)) / len(a) ** 2
    return max((float(np.mean(a == b)) - chance) / max(1 - chance, 1e-6), 0.0)
