"""Co-training: linear classifiers that teach each other, blended with a source-only baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from domainvi.trust import agreement, baseline_share

from ._cross_fit import cross_fit
from ._members import LinearMember, View, balanced_weights, logistic, sharpen
from ._rows import blocks
from ._statistics import (
    class_prior_statistics,
    domain_statistics,
    gene_weights,
    labelled_statistics,
    source_statistics,
    standardise,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._rows import TrainingRows
    from ._statistics import ScalingStatistics

# Share of each predicted class that joins the labelled rows in each round of self-training.
ROUNDS = (0.3, 0.4, 0.5, 0.6)
SELF_TRAINED_SHARPNESS = 1.15
# With fewer labels a class than this, a target trains itself; with more, its labels do.
MIN_LABELS = 3
# A target with this many labels a class gets half of the weight.
HALF_SHARE = 4
# Rows of each class that a target is taken to have beyond those seen.
PSEUDO_ROWS = 5


@dataclass(frozen=True)
class LinearEnsembleFit:
    """A fitted linear ensemble, and what it says of its rows.

    Parameters
    ----------
    statistics
        Centre and scale by domain for the network's input.
    members
        Fitted linear classifiers by name.
    baseline
        The source-only classifier that the members are blended with: logistic regression on each
        domain's own z-scores, labelled rows only.
    baseline_share
        Share of the baseline in the blend.
    agreement
        Cohen's kappa of the two views of the target; ``None`` where they were not compared.
    log_prior
        What is added to the scores of each domain's rows, ``(n_domains, n_classes)``.
    sharpness
        Exponent of the averaged probabilities.
    probs
        Class probabilities of the rows, shape ``(n_rows, n_classes)``.
    class_prior
        Class proportions that the statistics refer to.
    """

    statistics: ScalingStatistics
    members: dict[str, LinearMember]
    baseline: LinearMember
    baseline_share: float
    agreement: float | None
    log_prior: NDArray[np.float64]
    sharpness: float
    probs: NDArray[np.float64]
    class_prior: NDArray[np.float64]


@dataclass(frozen=True)
class Vote:
    """The fitted views, and what they say together before the baseline is blended in.

    Parameters
    ----------
    views
        The views by name, with their weights.
    probs
        Their average, ``(n_rows, n_classes)``, not sharpened yet.
    statistics
        Centre and scale by domain for the network's input.
    sharpness
        Exponent of the average.
    agreement
        Cohen's kappa of the two views of the target; ``None`` where they were not compared.
    """

    views: dict[str, View]
    probs: NDArray[np.float64]
    statistics: ScalingStatistics
    sharpness: float = SELF_TRAINED_SHARPNESS
    agreement: float | None = None


def fit_linear_ensemble(rows: TrainingRows) -> LinearEnsembleFit:
    r"""Average linear classifiers that differ in how rows are standardised and genes weighted.

    The members: *plain* (each domain by itself), *focused* (the same, genes weighted by how they
    differ between classes) and *shared* (all domains by the source, weighted by its agreement with
    the others beyond chance, Cohen's :math:`\kappa^2`); where a target has some labels, also
    *labelled* (targets centred at their labelled rows). Labelled target rows get the share
    :math:`n / (n + 4)` of the weight, for :math:`n` labels a class.

    As long as a target has fewer than three labels a class, the members teach each other: in four
    rounds the most confident 30, 40, 50 and 60 % of each predicted class join the labelled rows,
    and domains are standardised anew to one class prior, that of the square roots of the source's
    class counts (:func:`class_prior_statistics`). When every target has more, there is no
    self-training: *source* joins (plain, without target labels), and the weights of all come from
    cross-fitting on the labelled target rows (:func:`cross_fit`).

    The result is blended with a source-only *baseline*, logistic regression on z-scores. Without
    enough labels in the target, the share of the members is the agreement (:math:`\kappa`) of
    *shared* with *plain* and *focused*, which standardise the target by its own rows and by the
    source's; with enough of them the cross-fitted members stand alone. Where a target has labels,
    its class prior is estimated and the scores are corrected for it
    (:func:`class_prior_correction`).

    Self-training follows Yarowsky (ACL 1995), co-training Blum and Mitchell (COLT 1998), and the
    class-wise standardisation is an expectation-maximisation in their spirit.
    """
    class_prior, by_domain = source_class_prior(rows), domain_statistics(rows)
    free = self_trained_rows(rows)
    if rows.partly_labelled().any() and not free.any():
        vote = _cross_fitted(rows, by_domain)
    else:
        vote = _self_trained(rows, by_domain, free, class_prior)
    baseline, source_only = fit_baseline(rows, by_domain)
    share = baseline_share(vote.agreement)
    probs = (1 - share) * sharpen(vote.probs, vote.sharpness) + share * source_only
    log_prior = class_prior_correction(rows, probs)
    probs = probs * np.exp(log_prior[rows.domain])
    return LinearEnsembleFit(
        statistics=vote.statistics,
        members={name: view.member() for name, view in vote.views.items()},
        baseline=baseline,
        baseline_share=share,
        agreement=vote.agreement,
        log_prior=log_prior,
        sharpness=vote.sharpness,
        probs=probs / probs.sum(axis=1, keepdims=True),
        class_prior=class_prior,
    )


def self_trained_rows(rows: TrainingRows) -> NDArray[np.bool_]:
    """Unlabelled rows of targets with fewer than three labels a class."""
    few = rows.labels_per_class() < MIN_LABELS
    return ~rows.in_source & ~rows.labelled & few[rows.domain]


def source_class_prior(rows: TrainingRows) -> NDArray[np.float64]:
    """Square roots of the class counts of the sources, as proportions, ``(n_classes,)``."""
    count = np.bincount(rows.label[rows.in_source & rows.labelled], minlength=rows.n_classes)
    return np.sqrt(count) / np.sqrt(count).sum()


def target_share(rows: TrainingRows) -> float:
    """Share of labelled target rows in the weight, by the labels a class that they have."""
    partly = rows.partly_labelled()
    n = float(rows.labels_per_class()[partly].mean()) if partly.any() else 0.0
    return n / (n + HALF_SHARE)


def fit_baseline(
    rows: TrainingRows, statistics: ScalingStatistics
) -> tuple[LinearMember, NDArray[np.float64]]:
    """Fit logistic regression (C = 0.01, classes balanced) on every gene; also its predictions."""
    known = rows.labelled
    label = rows.label[known]
    weight = 1 / np.bincount(label)[label]
    weight *= len(label) / weight.sum()
    s = standardise(rows.x[known], rows.domain[known], statistics, 1.0)
    coef, intercept = logistic(s, label, weight, rows.n_classes, strength=0.01)
    scores = [
        standardise(rows.x[some], rows.domain[some], statistics) @ coef
        for some in blocks(len(rows.x))
    ]
    probs = softmax(np.concatenate(scores) + intercept, axis=1)
    return LinearMember(statistics, coef, intercept, 1.0), probs


def class_prior_correction(rows: TrainingRows, probs: NDArray[np.float64]) -> NDArray[np.float64]:
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


def _views(rows: TrainingRows, by_domain: ScalingStatistics) -> dict[str, View]:
    genes = gene_weights(rows)
    views = {
        "plain": View(rows, by_domain, np.ones_like(genes)),
        "focused": View(rows, by_domain, genes),
        "shared": View(rows, source_statistics(rows), genes),
    }
    if rows.partly_labelled().any():
        statistics = labelled_statistics(rows, by_domain)
        views["labelled"] = View(rows, statistics, genes, depends_on_labels=True)
    return views


def _cross_fitted(rows: TrainingRows, by_domain: ScalingStatistics) -> Vote:
    """Fit the views once, and weigh them by how they predict labelled target rows."""
    views, share = _views(rows, by_domain), target_share(rows)
    every_gene = views["plain"].gene_weight
    views["source"] = View(rows, by_domain, every_gene, uses_target_labels=False)
    for view in views.values():
        view.fit(rows.label, balanced_weights(rows, share, use_target=view.uses_target_labels))
    sharpness = cross_fit(rows, views, share)
    return Vote(views, _average(views), views["labelled"].statistics, sharpness)


def _self_trained(
    rows: TrainingRows,
    by_domain: ScalingStatistics,
    free: NDArray[np.bool_],
    class_prior: NDArray[np.float64],
) -> Vote:
    """Fit the views, and again as their confident predictions of free rows join the labels."""
    views, statistics = _views(rows, by_domain), by_domain
    weight = balanced_weights(rows, target_share(rows))
    probs = _refit(rows, views, rows.label, weight)
    if not free.any():
        return Vote(views, probs, statistics)
    for i, share in enumerate(ROUNDS):
        if i:
            statistics = class_prior_statistics(rows, probs, class_prior)
            views["plain"].standardise_by(statistics)
            views["focused"].standardise_by(statistics)
        label, extra = confident_rows(probs, rows, free, share)
        probs = _refit(rows, views, label, weight + extra)
    return Vote(views, probs, statistics, agreement=_shared_agreement(rows, views))


def _refit(
    rows: TrainingRows,
    views: dict[str, View],
    label: NDArray[np.int64],
    weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Fit and average; the shared view counts by its agreement with the two others."""
    for view in views.values():
        view.fit(label, weight)
    if not rows.in_source.all():
        views["shared"].weight = _shared_agreement(rows, views) ** 2
    return _average(views)


def _average(views: dict[str, View]) -> NDArray[np.float64]:
    weights = np.array([v.weight for v in views.values()])
    return np.tensordot(weights / weights.sum(), np.stack([v.probs for v in views.values()]), 1)


def _shared_agreement(rows: TrainingRows, views: dict[str, View]) -> float:
    """Agreement of the shared view with the two others on target rows."""
    target = ~rows.in_source
    both = views["plain"].probs[target] + views["focused"].probs[target]
    return agreement(views["shared"].probs[target], both)


def confident_rows(
    probs: NDArray[np.float64],
    rows: TrainingRows,
    free: NDArray[np.bool_],
    share: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Take the most confident ``share`` of each predicted class among free rows as labelled.

    Returns
    -------
    Labels with the new ones in, and the weights of the new ones: classes the same, one a row on
    average.
    """
    label, index = rows.label.copy(), np.flatnonzero(free)
    predicted = probs[index].argmax(axis=1)
    for c in np.unique(predicted):
        candidates = index[predicted == c]
        n = int(np.ceil(share * len(candidates)))
        label[candidates[np.argsort(-probs[candidates, c], kind="stable")[:n]]] = c
    new = (label >= 0) & ~rows.labelled
    weight = np.zeros(len(label))
    if new.any():
        weight[new] = 1 / np.bincount(label[new])[label[new]]
        weight *= new.sum() / weight.sum()
    return label, weight
