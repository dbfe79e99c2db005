"""How often each class occurs in each domain of a synthetic cohort."""

import numpy as np
from numpy.typing import NDArray


def class_mixes(
    n_domains: int, n_classes: int, shift: float, confounding: float
) -> NDArray[np.float64]:
    """Share of each class in each domain.

    Parameters
    ----------
    n_domains
        Number of domains.
    n_classes
        Number of classes.
    shift
        0 for uniform shares, 1 for shares that halve from class to class, from another first class
        in each domain.
    confounding
        0 for these shares, 1 for classes that keep to their domains.

    Returns
    -------
    Shape `(n_domains, n_classes)`; rows sum to 1.
    """
    halving = 0.5 ** np.arange(n_classes)
    turns = [d * n_classes // n_domains for d in range(n_domains)]
    ordered = np.stack([np.roll(halving, turn) for turn in turns]) / halving.sum()
    mixes = (1 - shift) / n_classes + shift * ordered
    return np.asarray((1 - confounding) * mixes + confounding * _tied(n_domains, n_classes))


def round_shares(shares: NDArray[np.float64], total: int) -> NDArray[np.intp]:
    """Whole numbers in these proportions that sum to `total`."""
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(np.intp)
    largest = np.argsort(counts - exact, kind="stable")
    counts[largest[: total - counts.sum()]] += 1
    return counts


def _tied(n_domains: int, n_classes: int) -> NDArray[np.float64]:
    """Class shares when classes and domains, laid along one line, keep what they overlap."""
    domain_ends = np.arange(n_domains + 1) / n_domains
    class_ends = np.arange(n_classes + 1) / n_classes
    upper = np.minimum(domain_ends[1:, None], class_ends[None, 1:])
    lower = np.maximum(domain_ends[:-1, None], class_ends[None, :-1])
    overlap = np.maximum(upper - lower, 0)
    overlap[overlap < 1e-12] = 0
    return np.asarray(overlap * n_domains)
