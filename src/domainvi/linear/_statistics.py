"""Centre and scale of genes by domain: the candidates for the model's input scaling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MIN_SCALE = 1e-3
CLIP = 8.0
# Rows, or genes, that are worked on at once: they stay in the cache.
BLOCK_LENGTH = 256
Table = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


@dataclass(frozen=True)
class TrainingRows:
    """The rows from which starting values are estimated.

    Parameters
    ----------
    x
        Log values, float32, shape ``(n_rows, n_genes)``.
    domain, label
        Codes, shape ``(n_rows,)``; label -1 is unlabelled.
    is_source
        Whether a domain is a source, shape ``(n_domains,)``.
    n_classes
        Number of classes.
    """

    x: NDArray[np.float32]
    domain: NDArray[np.int64]
    label: NDArray[np.int64]
    is_source: NDArray[np.bool_]
    n_classes: int

    @property
    def n_domains(self) -> int:
        """Number of domains."""
        return len(self.is_source)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Whether a row has a label."""
        return self.label >= 0

    @property
    def in_source(self) -> NDArray[np.bool_]:
        """Whether a row belongs to a source domain."""
        return self.is_source[self.domain]

    @property
    def one_hot(self) -> NDArray[np.float64]:
        """Labels as one-hot rows; zeros where unlabelled."""
        return np.eye(self.n_classes)[self.label] * self.labelled[:, None]

    def partly_labelled(self) -> NDArray[np.bool_]:
        """Which target domains have some labels, shape ``(n_domains,)``."""
        n = np.bincount(self.domain[self.labelled], minlength=self.n_domains)
        return ~self.is_source & (n > 0)

    def with_genes(self, genes: NDArray[np.int64]) -> TrainingRows:
        """Return the same rows with some genes, given in order; these rows where it is all."""
        if len(genes) == self.x.shape[1]:
            return self
        return replace(self, x=self.x[:, genes])

    def with_label(self, label: NDArray[np.int64]) -> TrainingRows:
        """Return the same rows with other labels."""
        return replace(self, label=label)


def blocks(n: int) -> Iterator[slice]:
    """Yield slices of 256 rows or genes."""
    return (slice(start, start + BLOCK_LENGTH) for start in range(0, n, BLOCK_LENGTH))


def moments(
    x: NDArray[np.float32], weight: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean and standard deviation of each column."""
    weight = np.full(len(x), 1.0 / len(x)) if weight is None else weight / weight.sum()
    mean, variance = np.empty(x.shape[1]), np.empty(x.shape[1])
    for some in blocks(x.shape[1]):
        mean[some] = weight @ x[:, some]
        variance[some] = weight @ np.square(x[:, some] - mean[some])
    return mean, np.sqrt(np.maximum(variance, 0.0))


def safe_scale(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let genes that do not vary keep the scale 1, so that they standardise to 0."""
    return np.where(scale < MIN_SCALE, 1.0, scale)


def standardise(
    x: NDArray[np.float32],
    domain: NDArray[np.int64],
    table: Table,
    gene_weight: NDArray[np.float64] | float | None = None,
) -> NDArray[np.floating]:
    """Standardise rows by the table of their domain, clipped at ±8.

    With a weight of each gene, times that and in double precision.
    """
    centre, scale = (t.astype(np.float32) for t in table)
    out = np.empty(x.shape, dtype=np.float32 if gene_weight is None else np.float64)
    for some in blocks(len(x)):
        part = x[some] - centre[domain[some]]
        part /= scale[domain[some]]
        np.clip(part, -CLIP, CLIP, out=part)
        out[some] = part if gene_weight is None else part * gene_weight
    return out


def domain_table(rows: TrainingRows) -> Table:
    """Each domain by its own rows; one that has none by those of all."""
    inside = [rows.domain == d for d in range(rows.n_domains)]
    pairs = [moments(rows.x[own] if own.any() else rows.x) for own in inside]
    return np.stack([p[0] for p in pairs]), safe_scale(np.stack([p[1] for p in pairs]))


def source_table(rows: TrainingRows) -> Table:
    """Every domain by the labelled rows of the source domains."""
    centre, scale = moments(rows.x[rows.in_source & rows.labelled])
    n = rows.n_domains
    return np.tile(centre, (n, 1)), np.tile(safe_scale(scale), (n, 1))


def mix_table(
    rows: TrainingRows, soft: NDArray[np.float64], mix: NDArray[np.float64], limit: float = 5.0
) -> Table:
    r"""Each domain as if its classes came in the proportions ``mix``.

    A row of domain :math:`d` weighs :math:`\sum_k q_{ik}\, \mathrm{clip}(m_k / \bar q_{dk})` with
    class probabilities :math:`q` (true labels where they are known) and their mean :math:`\bar q_d`
    over the domain, so that a domain with other classes is not centred elsewhere for that reason.

    Parameters
    ----------
    rows
        The rows.
    soft
        Class probabilities, shape ``(n_rows, n_classes)``.
    mix
        Class proportions to standardise to.
    limit
        Weights of a class are clipped to ``[1 / limit, limit]``.
    """
    centre, scale = domain_table(rows)
    q = np.where(rows.labelled[:, None], rows.one_hot, soft)
    for d in np.unique(rows.domain):
        inside = rows.domain == d
        ratio = np.clip(mix / np.maximum(q[inside].mean(axis=0), 1e-4), 1 / limit, limit)
        weight = q[inside] @ np.where(mix > 0, ratio, 1.0)
        centre[d], own = moments(rows.x[inside], weight)
        scale[d] = np.maximum(own, 0.3 * scale[d])
    return centre, safe_scale(scale)


def labelled_table(rows: TrainingRows, fallback: Table) -> Table:
    """Each domain by its labelled rows, classes counting the same, where it has two or more.

    In a target with some labels the centre is that of the labelled rows, and the scale averages
    their variance and that of all rows; other domains keep the ``fallback``.
    """
    centre, scale = fallback[0].copy(), fallback[1].copy()
    partly = rows.partly_labelled()
    for d in range(rows.n_domains):
        inside = rows.domain == d
        known = inside & rows.labelled
        if known.sum() < 2:
            continue
        label = rows.label[known]
        centre[d], spread = moments(rows.x[known], 1 / np.bincount(label)[label])
        if partly[d]:
            spread = np.sqrt((spread**2 + rows.x[inside].var(axis=0)) / 2)
        scale[d] = safe_scale(spread)
    return centre, scale


def gene_weights(rows: TrainingRows) -> NDArray[np.float64]:
    r"""Weight of each gene by how much it differs between classes within a domain.

    With :math:`e` the share of the class-balanced variance that lies between class means, averaged
    over domains by their rows and less twice its expectation under no difference, the weight is
    :math:`\sqrt{e / (1.1 - e)}`: near zero for most genes, and large for the few that tell the
    classes apart.

    Returns
    -------
    Shape ``(n_genes,)``; ones when no domain has two classes with two rows.
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
