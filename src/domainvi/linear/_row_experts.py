"""Experts that read one row at a time, by the ranks of genes within it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax
from scipy.stats import rankdata

from ._members import features_of, logistic
from ._rows import FEW_CLASSES, TrainingRows, blocks
from ._statistics import ScalingStatistics, gene_weights, moments, safe_scale, standardise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

# Correlations with class profiles become probabilities at this temperature.
TEMPERATURE = 0.05
# Marker genes of each pair of two classes; of more classes fewer, as SingleR has it.
N_MARKERS = 500
MIXTURE_RANK = 50
RIDGE = 0.3
N_STEPS = 50
# Classes at which a search for the shift begins.
N_STARTS = 10
SEARCH_ROWS = 200


@dataclass(frozen=True)
class RowExperts:
    """Classifiers of single rows, fitted to the ranks that genes have within labelled source rows.

    Ranks within a row do not change with any increasing transformation of its values, so that a
    row of another platform is read like one of the source, whatever other rows are around it. There
    are three: logistic regression on the ranks of all genes; the same with genes weighted by how
    they differ between classes; and the correlation with the mean ranks of each class on the
    marker genes of its pairs, in the manner of SingleR (Aran et al., Nature Immunology 2019). A
    space in which classes are spheres of radius one serves :func:`shift_mixture`.

    Parameters
    ----------
    centre, scale
        Mean and standard deviation of each gene's rank in the source, ``(n_genes,)``.
    coef, intercept
        Both logistic regressions, ``(2, n_genes, n_classes)`` and ``(2, n_classes)``.
    profile
        Mean ranks of each class, ``(n_genes, n_classes)``, 0 for genes that are no markers.
    basis, position
        Map from standardised ranks to the space of the mixture, ``(n_genes, n_classes)``, and
        where the classes are in it, ``(n_classes, n_classes)``.
    present
        Classes that the source has, ``(n_classes,)``.
    """

    centre: FloatArray
    scale: FloatArray
    coef: FloatArray
    intercept: FloatArray
    profile: FloatArray
    basis: FloatArray
    position: FloatArray
    present: NDArray[np.bool_]

    def with_genes(self, measured: NDArray[np.bool_]) -> RowExperts:
        """Return the experts for rows that have only some of the genes."""
        scale = np.where(measured, self.scale, np.inf)
        return replace(self, scale=scale, profile=self.profile * measured[:, None])

    def predict(self, x: NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
        """Mean probabilities of the three, and places in the space of the mixture.

        Parameters
        ----------
        x
            Log values, ``(n_rows, n_genes)``; genes that were not measured may hold anything.

        Returns
        -------
        Two arrays ``(n_rows, n_classes)``.
        """
        measured = np.isfinite(self.scale)
        rank = np.zeros(x.shape, dtype=np.float32)
        rank[:, measured] = row_ranks(x[:, measured])
        nobody = np.zeros(len(x), dtype=np.int64)
        statistics = ScalingStatistics(self.centre[None], self.scale[None])
        s = standardise(rank, nobody, statistics)
        similarity = correlation(rank, self.profile)
        similarity[:, ~self.present] = -1.0
        parts = [softmax(s @ c + b, axis=1) for c, b in zip(self.coef, self.intercept, strict=True)]
        parts.append(softmax(similarity / TEMPERATURE, axis=1))
        return np.mean(parts, axis=0), s @ self.basis

    def probabilities(self, x: NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
        """Probabilities of the rows of one cohort, and those of the mixture among them.

        The first are the mean of the three experts and of the mixture that they lead to, each with
        the same weight. Both are ``(n_rows, n_classes)``.
        """
        probs, place = self.predict(x)
        mixture = shift_mixture(place, self.position, probs, self.present)
        return (3 * probs + mixture) / 4, mixture


def fit_row_experts(rows: TrainingRows) -> RowExperts:
    """Fit the experts to the labelled rows of the source domains."""
    used = np.flatnonzero(rows.labelled & rows.in_source)
    part = TrainingRows(
        row_ranks(rows.x, used),
        rows.domain[used],
        rows.label[used],
        rows.is_source,
        rows.n_classes,
    )
    centre, scale = moments(part.x)
    statistics = ScalingStatistics(centre[None], safe_scale(scale)[None])
    nobody = np.zeros(len(part.x), dtype=np.int64)
    weight = 1 / np.bincount(part.label)[part.label]
    weight *= len(weight) / weight.sum()
    focus = gene_weights(part)
    fits = []
    for genes in (np.ones_like(focus), focus):
        features, basis, mean = features_of(replace(part, domain=nobody), statistics, genes)
        coef, intercept = logistic(features, part.label, weight, rows.n_classes)
        fits.append((genes[:, None] * (basis @ coef), intercept - mean @ basis @ coef))
    coef, intercept = (np.stack(values) for values in zip(*fits, strict=True))
    present = np.bincount(part.label, minlength=rows.n_classes) > 0
    leading = np.asarray(features[:, :MIXTURE_RANK], dtype=np.float64)
    to_space = focus[:, None] * discriminants(leading, part.label, basis)
    # A product of single and double precision would make another copy of all rows.
    place = np.concatenate(
        [standardise(part.x[b], nobody[b], statistics) @ to_space for b in blocks(len(part.x))]
    )
    position = class_means(place, part.label, rows.n_classes)
    profile = marker_profiles(class_means(part.x, part.label, rows.n_classes), present)
    pad = rows.n_classes - to_space.shape[1]
    return RowExperts(
        centre=centre,
        scale=safe_scale(scale),
        coef=coef,
        intercept=intercept,
        profile=profile,
        basis=np.pad(to_space, ((0, 0), (0, pad))),
        position=np.pad(position, ((0, 0), (0, pad))),
        present=present,
    )


def row_ranks(x: NDArray[np.float32], rows: IntArray | None = None) -> NDArray[np.float32]:
    """Ranks of genes within each row, or some rows; ties averaged, brought to between 0 and 1."""
    out = np.empty((len(x) if rows is None else len(rows), x.shape[1]), dtype=np.float32)
    for some in blocks(len(out)):
        part = x[some if rows is None else rows[some]]
        out[some] = (rankdata(part, axis=1) - 0.5) / x.shape[1]
    return out


def class_means(x: NDArray[np.floating], label: IntArray, n_classes: int) -> FloatArray:
    """Mean of the rows of each class, ``(n_classes, n_columns)``; that of all where it has none."""
    out = np.tile(x.mean(axis=0, dtype=np.float64), (n_classes, 1))
    for c in np.unique(label):
        out[c] = x[label == c].mean(axis=0)
    return out


def marker_profiles(mean_rank: FloatArray, present: NDArray[np.bool_]) -> FloatArray:
    r"""Mean ranks of each class on the markers of all pairs, ``(n_genes, n_classes)``, else 0.

    A pair's markers are the :math:`500 (2/3)^{\log_2 K}` genes by which the one is above the other.
    """
    classes = np.flatnonzero(present)
    n = round(N_MARKERS * (2 / 3) ** np.log2(max(len(classes), 2)))
    n = min(n, mean_rank.shape[1])
    is_marker = np.zeros(mean_rank.shape[1], dtype=bool)
    for a in classes:
        for b in classes[classes != a]:
            difference = mean_rank[a] - mean_rank[b]
            # Of genes that tie for the last place, the first.
            least = np.partition(difference, -n)[-n]
            above, ties = difference > least, np.flatnonzero(difference == least)
            above[ties[: n - above.sum()]] = True
            is_marker |= above & (difference > 0)
    if is_marker.sum() < 2:
        is_marker[:] = True
    return np.where(is_marker[:, None], mean_rank.T, 0.0)


def correlation(rank: NDArray[np.float32], profile: FloatArray) -> FloatArray:
    """Pearson correlation of ranks with the profiles on their genes, ``(n_rows, n_classes)``."""
    used = profile.any(axis=1)
    a, b = rank[:, used].astype(np.float64), profile[used].T
    a, b = (v - v.mean(axis=1, keepdims=True) if v.size else v for v in (a, b))
    a, b = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (a, b))
    return a @ b.T


def discriminants(features: FloatArray, label: IntArray, basis: FloatArray) -> FloatArray:
    """Map genes to the directions in which class means differ, classes having unit variance.

    These are Fisher's discriminants, with a ridge of .3 of the mean variance within classes.

    Returns
    -------
    A matrix ``(n_genes, d)``, for ``d`` one less than the number of classes, or the number of
    components if that is smaller.
    """
    k = features.shape[1]
    classes = [features[label == c] for c in np.unique(label)]
    mean = np.stack([part.mean(axis=0) for part in classes])
    spread = [np.cov(part.T).reshape(k, k) for part in classes if len(part) > 1]
    within = np.mean(spread, axis=0) if spread else np.eye(k)
    within = within + np.eye(k) * (RIDGE * max(np.trace(within) / k, 1e-12))
    whiten = np.linalg.cholesky(np.linalg.inv(within))
    mean = (mean - mean.mean(axis=0)) @ whiten
    axes = np.linalg.svd(mean, full_matrices=False)[2][: len(classes) - 1]
    return basis[:, :k] @ whiten @ axes.T


def shift_mixture(
    place: FloatArray, position: FloatArray, probs: FloatArray, present: NDArray[np.bool_]
) -> FloatArray:
    r"""Posterior of the classes when a cohort is the source's classes, moved by one common shift.

    Row :math:`i` is drawn from :math:`\sum_k \pi_k\, N(\mu_k + \delta, I)`, and :math:`q_{ik}` is
    what the experts say of it alone, so that

    .. math:: L(\pi, \delta) = \sum_i \log \sum_k \pi_k\, q_{ik}\, N(t_i;\, \mu_k + \delta, I)

    is maximised by expectation and maximisation, with one pseudo-row a class for :math:`\pi`. The
    shift absorbs the platform and :math:`\pi` the composition. A cohort of one class has a maximum
    for each class that it could be, which only :math:`q` tells apart; so the search starts from the
    shift that each likely class would mean, from that of the mean composition, of the experts'
    composition, and from none, and the highest maximum is taken. With more than 25 classes, 200 of
    the rows say which it is.

    Parameters
    ----------
    place, position
        Rows and classes of the source in a space where classes have unit variance,
        ``(n_rows, d)`` and ``(n_classes, d)``.
    probs
        :math:`q`, ``(n_rows, n_classes)``.
    present
        Classes of the source, ``(n_classes,)``.
    """
    # Of many classes, fewer directions than classes are in use.
    used = position.any(axis=0)
    place, position = place[:, used], position[:, used]
    mean, mix = place.mean(axis=0), probs.mean(axis=0)
    likely = np.flatnonzero(present)[np.argsort(-mix[present], kind="stable")[:N_STARTS]]
    starts = [mean - position[c] for c in likely]
    starts += [mean - position[present].mean(axis=0), mean - mix @ position, np.zeros_like(mean)]
    evidence = np.where(present, np.log(np.maximum(probs, 1e-3)), -np.inf)
    if present.sum() > FEW_CLASSES:
        some = slice(None, None, -(-len(place) // SEARCH_ROWS))
        part = place[some], position, evidence[some]
        starts = [max((fit_shift(*part, start, present) for start in starts), key=itemgetter(0))[2]]
    return max(
        (fit_shift(place, position, evidence, s, present) for s in starts), key=itemgetter(0)
    )[1]


def fit_shift(
    place: FloatArray,
    position: FloatArray,
    evidence: FloatArray,
    shift: FloatArray,
    present: NDArray[np.bool_],
) -> tuple[float, FloatArray, FloatArray]:
    """Maximise from one start; mean log-likelihood of the rows, their posteriors, and the shift."""
    prior, score = present / present.sum(), -np.inf
    posterior = np.exp(evidence)
    for _ in range(N_STEPS):
        moved = position + shift
        with np.errstate(divide="ignore"):
            offset = np.log(prior) - np.square(moved).sum(axis=1) / 2
        posterior = place @ moved.T
        posterior += evidence
        posterior += offset
        largest = posterior.max(axis=1)
        posterior -= largest[:, None]
        np.exp(posterior, out=posterior)
        total = posterior.sum(axis=1)
        posterior /= total[:, None]
        before, score = score, float((largest + np.log(total)).mean())
        if score - before < 1e-6:
            break
        prior = (posterior.sum(axis=0) + present) / (len(place) + present.sum())
        shift = (place - posterior @ position).mean(axis=0)
    return score, posterior, shift
