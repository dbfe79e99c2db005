"""Centre and scale of genes by domain: the candidates for input scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._rows import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

    from ._rows import TrainingRows


MIN_SCALE = 1e-3
CLIP = 8.0
# Weights of a class in a domain are clipped to [1 / MAX_RATIO, MAX_RATIO].
MAX_RATIO = 5.0
N_TOP_GENES = 2000


class ScalingStatistics(NamedTuple):
    """Centre and scale of each gene in each domain, both ``(n_domains, n_genes)``."""

    centre: FloatArray
    scale: FloatArray

    def with_genes(self, genes: IntArray) -> ScalingStatistics:
        """Return the statistics of some genes."""
        return ScalingStatistics(self.centre[:, genes], self.scale[:, genes])


def moments(
    x: NDArray[np.float32], weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Weighted mean and standard deviation of each column."""
    weight = np.full(len(x), 1.0 / len(x)) if weight is None else weight / weight.sum()
    mean, variance = np.empty(x.shape[1]), np.empty(x.shape[1])
    for some in blocks(x.shape[1]):
        mean[some] = weight @ x[:, some]
        variance[some] = weight @ np.square(x[:, some] - mean[some])
    return mean, np.sqrt(np.maximum(variance, 0.0))


def safe_scale(scale: FloatArray) -> FloatArray:
    """Let genes that do not vary keep the scale 1, so that they standardise to 0."""
    return np.where(scale < MIN_SCALE, 1.0, scale)


def standardise(
    x: NDArray[np.float32],
    domain: IntArray,
    statistics: ScalingStatistics,
    gene_weight: FloatArray | float | None = None,
    dtype: type[np.floating] = np.float64,
) -> NDArray[np.floating]:
    """Standardise rows by the statistics of their domain, clipped at ±8.

    With a weight of each gene, times that and in double precision, or another ``dtype``.
    """
    centre, scale = (values.astype(np.float32) for values in statistics)
    out = np.empty(x.shape, dtype=np.float32 if gene_weight is None else dtype)
    for some in blocks(len(x)):
        part = x[some] - centre[domain[some]]
        part /= scale[domain[some]]
        np.clip(part, -CLIP, CLIP, out=part)
        out[some] = part if gene_weight is None else part * gene_weight
    return out


def domain_statistics(rows: TrainingRows) -> ScalingStatistics:
    """Each domain by its own rows; one that has none by those of all."""
    inside = [rows.domain == d for d in range(rows.n_domains)]
    pairs = [moments(rows.x[own] if own.any() else rows.x) for own in inside]
    centre, scale = (np.stack(parts) for parts in zip(*pairs, strict=True))
    return ScalingStatistics(centre, safe_scale(scale))


def source_statistics(rows: TrainingRows) -> ScalingStatistics:
    """Every domain by the labelled rows of the source domains."""
    centre, scale = moments(rows.x[rows.in_source & rows.labelled])
    shape = (rows.n_domains, 1)
    return ScalingStatistics(np.tile(centre, shape), np.tile(safe_scale(scale), shape))


def class_prior_statistics(
    rows: TrainingRows, probs: FloatArray, class_prior: FloatArray
) -> ScalingStatistics:
    r"""Each domain as if its classes came in the proportions ``class_prior``.

    A row of domain :math:`d` weighs :math:`\sum_k q_{ik}\, \mathrm{clip}(m_k / \bar q_{dk})` with
    class probabilities :math:`q` (true labels where they are known), their mean :math:`\bar q_d`
    over the domain and the class prior :math:`m`, so that a domain with other classes is not
    centred elsewhere for that reason. The ratio is clipped to :math:`[1/5, 5]`.
    """
    centre, scale = domain_statistics(rows)
    q = np.where(rows.labelled[:, None], np.eye(rows.n_classes)[rows.label], probs)
    for d in np.unique(rows.domain):
        inside = rows.domain == d
        ratio = class_prior / np.maximum(q[inside].mean(axis=0), 1e-4)
        ratio = np.clip(ratio, 1 / MAX_RATIO, MAX_RATIO)
        weight = q[inside] @ np.where(class_prior > 0, ratio, 1.0)
        centre[d], own = moments(rows.x[inside], weight)
        scale[d] = np.maximum(own, 0.3 * scale[d])
    return ScalingStatistics(centre, safe_scale(scale))


def labelled_statistics(rows: TrainingRows, fallback: ScalingStatistics) -> ScalingStatistics:
    """Each domain by its labelled rows, classes counting the same, where it has two or more.

    In a target with some labels the centre is that of the labelled rows, and the scale averages
    their variance and that of all rows; other domains keep the ``fallback``.
    """
    centre, scale = fallback.centre.copy(), fallback.scale.copy()
    for d in range(rows.n_domains):
        inside = rows.domain == d
        known = inside & rows.labelled
        if known.sum() < 2:
            continue
        label = rows.label[known]
        centre[d], spread = moments(rows.x[known], 1 / np.bincount(label)[label])
        if rows.partly_labelled[d]:
            spread = np.sqrt((spread**2 + rows.x[inside].var(axis=0)) / 2)
        scale[d] = safe_scale(spread)
    return ScalingStatistics(centre, scale)


def leading_genes(rows: TrainingRows, n_genes: int | None = None) -> IntArray:
    """Find the genes with the largest mean variance within domains, 2,000 of them, in order."""
    variance = np.zeros(rows.x.shape[1])
    for some in blocks(len(variance)):
        within = [rows.x[rows.domain == d, some].var(axis=0) for d in np.unique(rows.domain)]
        variance[some] = np.mean(within, axis=0)
    return np.sort(np.argsort(-variance, kind="stable")[: n_genes or N_TOP_GENES])


def gene_weights(rows: TrainingRows) -> FloatArray:
    r"""Weight of each gene by how much it differs between classes within a domain.

    With :math:`e` the share of the class-balanced variance that lies between class means, averaged
    over domains by their rows and less twice its expectation under no difference, the weight is
    :math:`\sqrt{e / (1.1 - e)}`: near zero for most genes, and large for the few that tell the
    classes apart. It is one for all when no domain has two classes with two rows.
    """
    explained, n, freedom = np.zeros(rows.x.shape[1]), 0, 0
    for d in range(rows.n_domains):
        inside = rows.labelled & (rows.domain == d)
        count = np.bincount(rows.label[inside], minlength=rows.n_classes)
        classes = np.flatnonzero(count >= 2)
        if len(classes) < 2:
            continue
        groups = [moments(rows.x[inside & (rows.label == c)]) for c in classes]
        between = np.var([mean for mean, _ in groups], axis=0)
        within = np.mean([np.square(scale) for _, scale in groups], axis=0)
        explained += inside.sum() * between / (between + within + 1e-12)
        n += inside.sum()
        freedom += len(classes) - 1
    if n == 0:
        return np.ones(rows.x.shape[1])
    e = np.maximum((explained - 2 * freedom) / n, 0.0)
    return np.sqrt(e / (1.1 - e) + 1e-6)
