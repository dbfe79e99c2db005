"""Harder versions of a task: what users' data do that tidy benchmarks do not.

``label_shift``   half of the classes (one of two) cut to 12 % of the unlabelled target rows
``dirichlet``     half of the unlabelled target rows, class proportions drawn from a flat Dirichlet
                  distribution, as far as there are rows
``missing_class`` one class does not occur in the target
``noise05``, ``noise20``   5 % and 20 % of the source labels are wrong
``small30``, ``small60``   the target has 30 or 60 rows, labelled ones included
``genes100``      100 genes were measured
``one_class``     the target has one of its classes alone; the seed says which
``two_classes``   it has two of them, if there are more
``ninety_ten``    nine rows in ten are of one class; the seed says of which

Labels are drawn before class proportions are changed, so that the labelled rows do not give them
away.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRESSES = (
    "plain",
    "label_shift",
    "dirichlet",
    "missing_class",
    "noise05",
    "noise20",
    "small30",
    "small60",
    "genes100",
    "one_class",
    "two_classes",
    "ninety_ten",
)
_KEPT_SHARE = 0.12
_LEAST = 3


def generator(stress: str, seed: int) -> np.random.Generator:
    """Give each stress a stream of its own, so that the draw of labels is the same in all."""
    return np.random.default_rng([zlib.crc32(stress.encode()), seed])


def target_rows(stress: str, label: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Rows of the target that exist at all.

    Parameters
    ----------
    stress
        Name of the version.
    label
        Class codes of the target, ``(n_target,)``.
    seed
        Of the draw.
    """
    rng = generator(stress, seed)
    keep = np.ones(label.size, dtype=bool)
    present = np.unique(label)
    if stress == "one_class":
        keep = label == present[seed % present.size]
    elif stress == "two_classes" and present.size > 2:
        keep = np.isin(label, rng.choice(present, 2, replace=False))
    elif stress == "ninety_ten":
        keep = _mostly(label == present[seed % present.size], rng)
    elif stress == "missing_class":
        keep = label != rng.choice(np.unique(label))
    elif stress.startswith("small"):
        keep = _subsample(label, int(stress.removeprefix("small")), rng)
    return keep


def _mostly(one: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Keep a class, and as many of the other rows as make a tenth, one at least."""
    others = rng.permutation(np.flatnonzero(~one))[: max(1, int(one.sum()) // 9)]
    keep = one.copy()
    keep[others] = True
    return keep


def _subsample(
    label: NDArray[np.int64], n_rows: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw rows at random, but three of every class first."""
    order = rng.permutation(label.size)
    rank = np.empty(label.size, dtype=np.int64)
    for code in np.unique(label):
        mine = order[label[order] == code]
        rank[mine] = np.arange(mine.size)
    first = np.argsort(rank[order] >= _LEAST, kind="stable")
    keep = np.zeros(label.size, dtype=bool)
    keep[order[first][:n_rows]] = True
    return keep


def source_labels(
    stress: str, label: NDArray[np.int64], n_classes: int, seed: int
) -> NDArray[np.int64]:
    """Labels of the source as they were written down.

    Parameters
    ----------
    stress
        Name of the version.
    label
        True class codes of the source, ``(n_source,)``.
    n_classes
        Number of classes.
    seed
        Of the draw.
    """
    if not stress.startswith("noise"):
        return label
    rng = generator(stress, seed)
    n_wrong = round(label.size * int(stress.removeprefix("noise")) / 100)
    wrong = rng.choice(label.size, n_wrong, replace=False)
    noisy = label.copy()
    noisy[wrong] = (label[wrong] + rng.integers(1, n_classes, n_wrong)) % n_classes
    return noisy


def genes(stress: str, n_genes: int, seed: int) -> NDArray[np.int64]:
    """Return the columns that were measured."""
    if stress != "genes100" or n_genes <= 100:
        return np.arange(n_genes)
    return np.sort(generator(stress, seed).choice(n_genes, 100, replace=False))


def unlabelled_rows(stress: str, label: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Unlabelled rows of the target that are kept, at least three of each class.

    Parameters
    ----------
    stress
        Name of the version.
    label
        Class codes of the unlabelled rows.
    seed
        Of the draw.
    """
    keep = np.ones(label.size, dtype=bool)
    if stress not in {"label_shift", "dirichlet"} or not label.size:
        return keep
    rng = generator(stress, seed)
    classes, counts = np.unique(label, return_counts=True)
    if stress == "label_shift":
        cut = rng.permutation(classes.size) < classes.size // 2
        wanted = np.where(cut, np.round(_KEPT_SHARE * counts), counts)
    else:
        mix = rng.dirichlet(np.ones(classes.size))
        wanted = np.round(mix * label.size / 2)
    for code, n_kept in zip(classes, np.maximum(wanted, _LEAST), strict=True):
        keep[rng.permutation(np.flatnonzero(label == code))[int(n_kept) :]] = False
    return keep
