"""Co-training: linear classifiers that teach each other, and what is learnt from them all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ._composition import ClassMoments, class_moments, composition_statistics, consensus
from ._held_out import Lesson, confident_rows, held_out
from ._members import LinearMember, View, agreement, average, balanced_weights, sharpen
from ._row_experts import RowExperts, fit_row_experts
from ._rows import FEW_CLASSES
from ._statistics import (
    class_prior_statistics,
    domain_statistics,
    gene_weights,
    labelled_statistics,
    source_statistics,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

    from ._rows import TrainingRows
    from ._statistics import ScalingStatistics

# Share of each predicted class that joins the labelled rows in each round of self-training.
ROUNDS = (0.3, 0.4, 0.5, 0.6)
# Of many classes two rounds give as much, in half of the time.
ROUNDS_OF_MANY = (0.3, 0.6)
SELF_TRAINED_SHARPNESS = 1.15
# With fewer labels a class than this, a target trains itself; otherwise its labels do.
MIN_LABELS = 3
# A target with this many labels a class gets half of the weight.
HALF_SHARE = 4
# Rows of each class that a target is taken to have beyond those seen.
PSEUDO_ROWS = 5
N_FOLDS = 3
PRIOR_SHARPNESS = 1.6
PRIOR_SPREAD = 0.35


@dataclass(frozen=True)
class LinearEnsembleFit:
    """A fitted linear ensemble, and what it says of its rows.

    Parameters
    ----------
    statistics
        Centre and scale by domain for the network's input.
    members
        Fitted linear classifiers by name.
    unadapted
        Centre and scale of each domain's own rows.
    row_experts, classes
        What a cohort that comes later is read by.
    row_wise_share
        Share of the experts of single rows in what the members were taught, mean over the rows of
        targets; 0 where they had no part.
    agreement
        Cohen's kappa of the two views of the target; ``None`` where they were not compared.
    log_prior
        What is added to the scores of each domain's rows, ``(n_domains, n_classes)``.
    sharpness
        Exponent of the averaged probabilities.
    probs
        Class probabilities of the rows, shape ``(n_rows, n_classes)``.
    held_out
        Those of labelled rows by members fitted without their labels, before ``log_prior``; NaN
        elsewhere (:func:`held_out`).
    """

    statistics: ScalingStatistics
    members: dict[str, LinearMember]
    unadapted: ScalingStatistics
    row_experts: RowExperts
    classes: ClassMoments
    row_wise_share: float
    agreement: float | None
    log_prior: FloatArray
    sharpness: float
    probs: FloatArray
    held_out: FloatArray


def fit_linear_ensemble(rows: TrainingRows) -> LinearEnsembleFit:
    r"""Average linear classifiers that differ in how rows are standardised and genes weighted.

    The members: *plain* (each domain by itself), *focused* (the same, genes weighted by how they
    differ between classes) and *shared* (all domains by the source, weighted by its agreement with
    the others beyond chance, Cohen's :math:`\kappa^2`); where a target has some labels, also
    *labelled* (targets centred at their labelled rows). Labelled target rows get the share
    :math:`n / (n + 4)` of the weight of their class, for :math:`n` labels that it has in a target.

    As long as a target has fewer than three labels a class, the members teach each other: in four
    rounds the most confident 30, 40, 50 and 60 % of each predicted class join the labelled rows
    (of more than 25 classes in two, of 30 and 60 %),
    and domains are standardised anew to one class prior, that of the square roots of the source's
    class counts (:func:`class_prior_statistics`). When every target has more, there is no
    self-training: *source* joins (plain, without target labels), and the weights of all come from
    cross-fitting on the labelled target rows (:func:`cross_fit`).

    What the members then say of an unlabelled target supposes that its classes are mixed as those
    of the source, since they have standardised it by its own rows. So it is blended, cohort by
    cohort, with what experts of single rows say (:class:`RowExperts`), as far as views of the
    cohort disagree and its class proportions are disputed (:func:`consensus`). The blend teaches
    two new members: *plain* and *focused* again, on rows that are standardised by the shift that
    this composition leaves (:func:`composition_statistics`), fitted to the source's labels and to
    the blend's labels of all target rows, where classes count by the square root of their rows.

    Where a target has three labels a class, its class prior is estimated and the scores are
    corrected for it (:func:`class_prior_correction`).

    Self-training follows Yarowsky (ACL 1995), co-training Blum and Mitchell (COLT 1998), and the
    class-wise standardisation is an expectation-maximisation in their spirit.
    """
    count = np.bincount(rows.label[rows.in_source & rows.labelled], minlength=rows.n_classes)
    class_prior = np.sqrt(count) / np.sqrt(count).sum()
    free = ~rows.in_source & ~rows.labelled & (rows.labels_per_class < MIN_LABELS)[rows.domain]
    by_domain = domain_statistics(rows)
    views, target_weight = make_views(rows, by_domain), target_share(rows)
    leading, sharpness, kappa = "plain", SELF_TRAINED_SHARPNESS, None
    if rows.partly_labelled.any() and not free.any():
        views["source"] = replace(views["plain"], uses_target_labels=False)
        leading, sharpness = "labelled", cross_fit(rows, views, target_weight)
        for view in views.values():
            use_target = view.uses_target_labels
            view.fit(rows.label, balanced_weights(rows, target_weight, use_target=use_target))
    else:
        kappa = self_train(rows, views, free, class_prior, target_weight)
    row_experts, classes = fit_row_experts(rows), class_moments(rows, class_prior)
    row_wise_share = 0.0
    if free.any():
        probs, row_wise_share = teachers(rows, views, free, row_experts)
        views = learn(rows, views, free, probs, classes, target_weight)
    probs = sharpen(average(views), sharpness)
    log_prior = class_prior_correction(rows, probs)
    probs = probs * np.exp(log_prior[rows.domain])
    return LinearEnsembleFit(
        statistics=views[leading].statistics,
        members={name: view.member() for name, view in views.items()},
        unadapted=by_domain,
        row_experts=row_experts,
        classes=classes,
        row_wise_share=row_wise_share,
        agreement=kappa,
        log_prior=log_prior,
        sharpness=sharpness,
        probs=probs / probs.sum(axis=1, keepdims=True),
        held_out=sharpen(held_out(rows, views, target_weight, free), sharpness),
    )


def teachers(
    rows: TrainingRows, views: dict[str, View], free: NDArray[np.bool_], experts: RowExperts
) -> tuple[FloatArray, float]:
    """Blend members and experts of single rows in each domain with free rows.

    Returned are the probabilities of all rows, and the mean share of the experts over free rows.
    """
    probs = average(views)
    own = [views[name].probs for name in ("plain", "focused")]
    share = np.zeros(len(probs))
    for d in np.unique(rows.domain[free]):
        inside = rows.domain == d
        by_row, mixture = experts.probabilities(rows.x[inside])
        probs[inside], share[inside] = consensus(
            [p[inside] for p in own],
            views["shared"].probs[inside],
            probs[inside],
            rows.restrict(by_row, inside),
            rows.restrict(mixture, inside),
            SELF_TRAINED_SHARPNESS,
        )
    return probs, float(share[free].mean())


def learn(
    rows: TrainingRows,
    views: dict[str, View],
    free: NDArray[np.bool_],
    probs: FloatArray,
    classes: ClassMoments,
    target_share: FloatArray,
) -> dict[str, View]:
    """Fit new views to labels and to what the teachers say of free rows."""
    statistics = composition_statistics(rows, probs, classes)
    lesson = Lesson.of_probabilities(probs, rows, free)
    views = {name: replace(views[name], statistics=statistics) for name in ("plain", "focused")}
    for view in views.values():
        lesson.fit(view, balanced_weights(rows, target_share))
    return views


def target_share(rows: TrainingRows) -> FloatArray:
    """Share of target rows in the weight of each class, by the labels that targets have of it."""
    partly = rows.partly_labelled
    known = rows.labelled & ~rows.in_source
    n = np.bincount(rows.label[known], minlength=rows.n_classes) / max(int(partly.sum()), 1)
    return n / (n + HALF_SHARE)


def class_prior_correction(rows: TrainingRows, probs: FloatArray) -> FloatArray:
    r"""Log-odds by which the classes of a labelled target differ from balanced ones.

    The members are trained with balanced classes, and their targets need not be. With predictions
    :math:`p`, labelled rows :math:`n_k` and :math:`N` rows in all, :math:`\pi_k = (\sum_i p_{ik}
    + n_k + 5) / (N + 5K)` over a domain, and :math:`\log K \pi_k` is added to the scores: one
    step of the expectation-maximisation of Saerens, Latinne and Decaestecker (Neural Computation
    2002) with a prior. Targets with fewer than three labels a class get 0: what they predict comes
    from co-training, and the same step harms there. The shape is ``(n_domains, n_classes)``.
    """
    out = np.zeros((rows.n_domains, rows.n_classes))
    for d in np.flatnonzero(~rows.is_source & (rows.labels_per_class >= MIN_LABELS)):
        inside = rows.domain == d
        expected = probs[inside & ~rows.labelled].sum(axis=0) + PSEUDO_ROWS
        expected += np.bincount(rows.label[inside & rows.labelled], minlength=rows.n_classes)
        out[d] = np.log(rows.n_classes * expected / expected.sum())
    return out


def make_views(rows: TrainingRows, by_domain: ScalingStatistics) -> dict[str, View]:
    """Make the views of the members, not fitted yet."""
    genes = gene_weights(rows)
    views = {
        "plain": View(rows, by_domain, np.ones_like(genes)),
        "focused": View(rows, by_domain, genes),
        "shared": View(rows, source_statistics(rows), genes),
    }
    if rows.partly_labelled.any():
        statistics = labelled_statistics(rows, by_domain)
        views["labelled"] = View(rows, statistics, genes, depends_on_labels=True)
    return views


def self_train(
    rows: TrainingRows,
    views: dict[str, View],
    free: NDArray[np.bool_],
    class_prior: FloatArray,
    target_share: FloatArray,
) -> float | None:
    """Fit the views, and again as their confident predictions of free rows join the labels.

    Returned is what :func:`refit` says of them in the end.
    """
    weight = balanced_weights(rows, target_share)
    kappa = refit(rows, views, rows.label, weight)
    rounds = ROUNDS if rows.n_classes <= FEW_CLASSES else ROUNDS_OF_MANY
    for i, share in enumerate(rounds if free.any() else ()):
        probs = average(views)
        if i:
            statistics = class_prior_statistics(rows, probs, class_prior)
            for name in ("plain", "focused"):
                views[name] = replace(views[name], statistics=statistics)
        label, extra = confident_rows(probs, rows, free, share)
        kappa = refit(rows, views, label, weight + extra)
    return kappa


def refit(
    rows: TrainingRows, views: dict[str, View], label: IntArray, weight: FloatArray
) -> float | None:
    """Fit the views; return Cohen's kappa of the shared view with the two others on target rows.

    The shared view weighs by its square. It is ``None`` without target rows.
    """
    for view in views.values():
        view.fit(label, weight)
    target = ~rows.in_source
    if not target.any():
        return None
    both = views["plain"].probs[target] + views["focused"].probs[target]
    kappa = agreement(views["shared"].probs[target], both)
    views["shared"].weight = kappa**2
    return kappa


def cross_fit(rows: TrainingRows, views: dict[str, View], target_share: FloatArray) -> float:
    r"""Set the weights of the views; return the sharpness of their average.

    Labelled target rows are dealt into three folds within classes. A view's weight is
    :math:`\exp(\ell - \max \ell)` with :math:`\ell` its summed log-likelihood on held-out rows,
    and the sharpness maximises that of the average under a log-normal prior around 1.6. Nothing
    is changed when a class has a single labelled target row.
    Fit the views afterwards.
    """
    held = np.flatnonzero(rows.labelled & ~rows.in_source)
    label = rows.label[held]
    count = np.bincount(label)
    if count[count > 0].min() < 2:
        return PRIOR_SHARPNESS
    probs = held_out_probs(rows, views, held, target_share)
    hits = np.maximum(probs[:, np.arange(len(held)), label], 1e-3)
    likelihood = np.log(hits).sum(axis=1)
    weights = np.exp(likelihood - likelihood.max())
    for view, weight in zip(views.values(), weights, strict=True):
        view.weight = float(weight)
    return best_sharpness(np.tensordot(weights / weights.sum(), probs, 1), label)


def held_out_probs(
    rows: TrainingRows, views: dict[str, View], held: IntArray, target_share: FloatArray
) -> FloatArray:
    """Probabilities of each view, shape ``(n_views, n_held, n_classes)``."""
    out = np.zeros((len(views), len(held), rows.n_classes))
    fold = np.zeros_like(held)
    for c in np.unique(rows.label[held]):
        of_class = np.flatnonzero(rows.label[held] == c)
        fold[of_class] = np.arange(len(of_class)) % N_FOLDS
    by_domain = domain_statistics(rows)
    for f in np.unique(fold):
        test = held[fold == f]
        label = rows.label.copy()
        label[test] = -1
        part = replace(rows, label=label)
        for i, view in enumerate(views.values()):
            if view.depends_on_labels:
                view = replace(view, statistics=labelled_statistics(part, by_domain))
            # A fit that went on from the last one would know the labels that are held out.
            view.solution = None
            weight = balanced_weights(part, target_share, use_target=view.uses_target_labels)
            view.fit(label, weight)
            out[i, fold == f] = view.probs[test]
    return out


def best_sharpness(probs: FloatArray, label: IntArray) -> float:
    """Maximise the likelihood of held-out labels under the prior, over a grid."""
    grid = np.exp(np.linspace(np.log(0.5), np.log(4.0), 25))
    rows, k = np.arange(len(label)), probs.shape[1]
    cost = [
        -np.log(sharpen(probs, power)[rows, label] * 0.98 + 0.02 / k).sum()
        + np.log(power / PRIOR_SHARPNESS) ** 2 / (2 * PRIOR_SPREAD**2)
        for power in grid
    ]
    return float(grid[int(np.argmin(cost))])
