"""The rows that linear experts are fitted to: how they are drawn, and what is counted on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

MAX_ROWS = 6000
# More classes than few need more rows, twice this many a class, and twice the most altogether.
FEW_CLASSES, ROWS_OF_CLASS, MOST_ROWS = 25, 120, 24_000
# A class of a domain keeps at least this many rows, as far as the limit allows.
KEPT_ROWS = 20
# With fewer unlabelled rows than this share, a domain's labels say which classes it has.
UNLABELLED_SHARE = 0.05
# Rows, or genes, that are worked on at once: they stay in the cache.
BLOCK_LENGTH = 256


@dataclass(frozen=True)
class OpenClasses:
    """Classes that each row can have, where labels on a coarser level say so.

    Parameters
    ----------
    code
        Number of the set of each row, shape ``(n_rows,)``.
    masks
        The sets, shape ``(n_sets, n_classes)``.
    """

    code: IntArray
    masks: NDArray[np.bool_]

    def take(self, rows: IntArray | NDArray[np.bool_]) -> OpenClasses:
        """Return some of the rows."""
        return OpenClasses(self.code[rows], self.masks)

    def restrict(self, p: FloatArray) -> FloatArray:
        """Give no probability to classes that a row cannot have, so that rows sum to 1 again."""
        kept = np.where(self.masks[self.code], np.maximum(p, 1e-30), 0.0)
        return kept / kept.sum(axis=1, keepdims=True)


@dataclass(eq=False)
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
    open_classes
        Classes that unlabelled rows can have; ``None`` if all of them.
    labelled, in_source
        Whether a row has a label, and belongs to a source domain, shape ``(n_rows,)``.
    labels_per_class
        Labelled rows of each domain over the number of classes, shape ``(n_domains,)``.
    partly_labelled
        Which target domains have some labels, shape ``(n_domains,)``.
    """

    x: NDArray[np.float32]
    domain: IntArray
    label: IntArray
    is_source: NDArray[np.bool_]
    n_classes: int
    open_classes: OpenClasses | None = None

    def __post_init__(self) -> None:
        self.n_domains = len(self.is_source)
        self.labelled = self.label >= 0
        self.in_source = self.is_source[self.domain]
        n_labelled = np.bincount(self.domain[self.labelled], minlength=self.n_domains)
        self.labels_per_class = n_labelled / self.n_classes
        self.partly_labelled = ~self.is_source & (n_labelled > 0)

    def restrict(self, p: FloatArray, rows: NDArray[np.bool_] | None = None) -> FloatArray:
        """Restrict probabilities of all rows, or of some, to classes that these can have."""
        if self.open_classes is None:
            return p
        return (self.open_classes if rows is None else self.open_classes.take(rows)).restrict(p)

    def with_genes(self, genes: IntArray) -> TrainingRows:
        """Return the same rows with some genes, given in order; these rows where it is all."""
        return self if len(genes) == self.x.shape[1] else replace(self, x=self.x[:, genes])


def blocks(n: int) -> Iterator[slice]:
    """Yield slices of 256 rows or genes."""
    return (slice(start, start + BLOCK_LENGTH) for start in range(0, n, BLOCK_LENGTH))


def subsample(
    domain: IntArray, label: IntArray, seed: int, limit: int = MAX_ROWS, of_class: int = 0
) -> IntArray:
    """Draw about ``limit`` rows, with the classes of each domain in the shares that they have.

    Small strata keep up to 20 rows, as far as the limit allows and one at least, so that neither
    a domain nor the few labelled rows of one get lost. A stratum is one label in one domain, or
    none, -1. Beyond the limit, each class has at least ``of_class`` labelled rows, or all that
    there are. Returned are sorted row numbers.
    """
    if len(domain) <= limit:
        return np.arange(len(domain))
    rng = np.random.default_rng(seed)
    strata, stratum, count = np.unique(
        np.stack([domain, label]), axis=1, return_inverse=True, return_counts=True
    )
    stratum = stratum.ravel()
    least = max(1, min(KEPT_ROWS, limit // len(count)))
    quota = np.minimum(count, np.maximum(least, np.round(count * (limit / len(domain)))))
    if of_class:
        n = np.bincount(label[label >= 0])
        own = np.ceil(count * np.minimum(1, of_class / np.maximum(n[strata[1]], 1)))
        quota = np.maximum(quota, np.where(strata[1] < 0, 0, own))
    order = rng.permutation(len(domain))
    order = order[np.argsort(stratum[order], kind="stable")]
    rank = np.arange(len(domain)) - np.repeat(np.cumsum(count) - count, count)
    return np.sort(order[rank < np.repeat(quota, count)])


def rows_for(n_classes: int) -> tuple[int, int]:
    """Limit and rows of each class that linear members need, arguments of :func:`subsample`.

    Up to 25 classes have 6,000 rows. More have 120 rows a class if these are more, and beside them
    up to 120 labelled rows of each class; beyond 200 classes fewer, so that there are 48,000.

    Examples
    --------
    >>> from domainvi.linear import rows_for
    >>> rows_for(10), rows_for(100), rows_for(300)
    ((6000, 0), (12000, 120), (24000, 80))
    """
    if n_classes <= FEW_CLASSES:
        return MAX_ROWS, 0
    of_class = min(ROWS_OF_CLASS, MOST_ROWS // n_classes)
    return max(MAX_ROWS, of_class * n_classes), of_class


def class_support(
    domain: IntArray, label: IntArray, n_domains: int, n_classes: int
) -> NDArray[np.bool_]:
    """Which classes a domain has, ``(n_domains, n_classes)``.

    A domain of which more than 5 % is unlabelled may have any.
    """
    support = np.zeros((n_domains, n_classes), dtype=bool)
    known = label >= 0
    support[domain[known], label[known]] = True
    unlabelled = np.bincount(domain[~known], minlength=n_domains)
    n = np.bincount(domain, minlength=n_domains)
    support[unlabelled > UNLABELLED_SHARE * n] = True
    return support


def source_domains(domain: IntArray, label: IntArray, n_domains: int) -> NDArray[np.bool_]:
    """Which domains are sources: those with labels on at least half of their rows.

    When no domain reaches half, the one with the most labelled rows is the source.
    """
    n = np.bincount(domain, minlength=n_domains)
    labelled = np.bincount(domain[label >= 0], minlength=n_domains)
    is_source = labelled * 2 >= np.maximum(n, 1)
    if not is_source.any():
        is_source[labelled.argmax()] = True
    return is_source
