"""The rows that linear experts are fitted to: how they are drawn, and what is counted on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MAX_ROWS = 6000
# A class of a domain keeps at least this many rows, as far as the limit allows.
KEPT_ROWS = 20
# With fewer unlabelled rows than this share, a domain's labels say which classes it has.
UNLABELLED_SHARE = 0.05
# Rows, or genes, that are worked on at once: they stay in the cache.
BLOCK_LENGTH = 256


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

    def labels_per_class(self) -> NDArray[np.float64]:
        """Labelled rows of each domain over the number of classes, shape ``(n_domains,)``."""
        n = np.bincount(self.domain[self.labelled], minlength=self.n_domains)
        return n / self.n_classes

    def partly_labelled(self) -> NDArray[np.bool_]:
        """Which target domains have some labels, shape ``(n_domains,)``."""
        return ~self.is_source & (self.labels_per_class() > 0)

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


def subsample(
    domain: NDArray[np.int64], label: NDArray[np.int64], seed: int, limit: int = MAX_ROWS
) -> NDArray[np.int64]:
    """Draw about ``limit`` rows, with the classes of each domain in the shares that they have.

    Small strata keep up to 20 rows, as far as the limit allows and one at least, so that neither
    a domain nor the few labelled rows of one get lost.

    Parameters
    ----------
    domain, label
        Codes, shape ``(n_rows,)``; label -1 is unlabelled. A stratum is one label in one domain.
    seed
        Random seed for the draw.
    limit
        Rows to aim at.

    Returns
    -------
    Sorted row numbers.
    """
    if len(domain) <= limit:
        return np.arange(len(domain))
    rng = np.random.default_rng(seed)
    _, stratum, count = np.unique(
        np.stack([domain, label]), axis=1, return_inverse=True, return_counts=True
    )
    stratum = stratum.ravel()
    least = max(1, min(KEPT_ROWS, limit // len(count)))
    quota = np.minimum(count, np.maximum(least, np.round(count * (limit / len(domain)))))
    order = rng.permutation(len(domain))
    order = order[np.argsort(stratum[order], kind="stable")]
    rank = np.arange(len(domain)) - np.repeat(np.cumsum(count) - count, count)
    return np.sort(order[rank < np.repeat(quota, count)])


def class_support(
    domain: NDArray[np.int64], label: NDArray[np.int64], n_domains: int, n_classes: int
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


def source_domains(
    domain: NDArray[np.int64], label: NDArray[np.int64], n_domains: int
) -> NDArray[np.bool_]:
    """Which domains are sources: those with labels on at least half of their rows.

    When no domain reaches half, the one with the most labelled rows is the source.
    """
    n = np.bincount(domain, minlength=n_domains)
    labelled = np.bincount(domain[label >= 0], minlength=n_domains)
    is_source = labelled * 2 >= np.maximum(n, 1)
    if not is_source.any():
        is_source[labelled.argmax()] = True
    return is_source
