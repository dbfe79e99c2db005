"""A train and validation split that keeps domains, classes and groups intact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from domainvi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Split = tuple[NDArray[np.int64], NDArray[np.int64]]

# Below this many rows, holding one out costs training more than validation gains.
_SMALL = 3


def stratified_split(
    domain: ArrayLike,
    label: ArrayLike,
    validation_size: float = 0.1,
    rng: np.random.Generator | int = 0,
    groups: ArrayLike | None = None,
) -> Split:
    """Split rows into train and validation, alike in every domain and class.

    A stratum is one label in one domain; unlabelled rows of a domain form a stratum too. Each
    stratum gives validation its share (largest remainder rounding), keeps at least one row for
    training, and stays there whole if it has fewer than three rows. So every class that has a
    labelled row has one in training.

    Parameters
    ----------
    domain
        Domain codes, shape ``(n_obs,)``.
    label
        Label codes, -1 for unlabelled rows, shape ``(n_obs,)``.
    validation_size
        Share of all rows that validation should get, at least 0 and below 1.
    rng
        Random generator, or its seed.
    groups
        Rows with the same value (a patient, a donor) stay together, shape ``(n_obs,)``. A missing
        value is a group of its own. Whole groups are added as long as they bring the strata
        nearer to their shares, so that sizes are approximate; the best single group is taken where
        all of them are larger than that.

    Returns
    -------
    Sorted row numbers of training and of validation. Validation is empty if every stratum is small.

    Raises
    ------
    InputError
        If the lengths differ or ``validation_size`` is not a share.

    Examples
    --------
    >>> train, validation = dv.data.stratified_split([0] * 10 + [1] * 10, [0, 1] * 10, 0.2)
    >>> len(train), len(validation)
    (16, 4)
    """
    strata = _strata(np.asarray(domain), np.asarray(label))
    if not 0 <= validation_size < 1:
        msg = f"validation_size={validation_size!r} must be at least 0 and below 1."
        raise InputError(msg)
    rng = np.random.default_rng(rng)
    quota = _quotas(np.bincount(strata), validation_size, rng)
    if groups is None:
        held_out = _draw_rows(strata, quota, rng)
    else:
        held_out = _draw_groups(strata, quota, _group_codes(groups, len(strata)), rng)
    return np.flatnonzero(~held_out).astype(np.int64), np.flatnonzero(held_out).astype(np.int64)


def _strata(domain: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.int64]:
    if domain.ndim != 1 or domain.shape != label.shape or not len(domain):
        msg = (
            f"domain has shape {domain.shape} and label {label.shape}; expected one code a row in "
            "both, and at least one row."
        )
        raise InputError(msg)
    pairs = np.column_stack([domain, label])
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _group_codes(groups: ArrayLike, n_obs: int) -> NDArray[np.int64]:
    codes, names = pd.factorize(np.asarray(groups, dtype=object))
    if len(codes) != n_obs:
        msg = f"groups has {len(codes)} values for {n_obs} rows."
        raise InputError(msg)
    missing = codes < 0
    codes[missing] = len(names) + np.arange(missing.sum())
    return np.asarray(codes, dtype=np.int64)


def _quotas(
    sizes: NDArray[np.int64], validation_size: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows that each stratum gives to validation."""
    share = np.where(sizes >= _SMALL, sizes * validation_size, 0.0)
    # The small addend keeps 0.1 * 30 from falling to 2.
    quota = np.floor(share + 1e-9).astype(np.int64)
    left = round(float(sizes.sum() * validation_size)) - int(quota.sum())
    shuffled = rng.permutation(len(sizes))
    order = shuffled[np.argsort(-(share - quota)[shuffled], kind="stable")]
    order = order[share[order] > quota[order] + 1e-9]
    quota[order[: max(left, 0)]] += 1
    return np.minimum(quota, sizes - 1)


def _draw_rows(
    strata: NDArray[np.int64], quota: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    shuffled = rng.permutation(len(strata))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    starts = np.searchsorted(strata[order], np.arange(len(quota)))
    rank = np.arange(len(strata)) - starts[strata[order]]
    held_out = np.zeros(len(strata), dtype=bool)
    held_out[order] = rank < quota[strata[order]]
    return held_out


def _draw_groups(
    strata: NDArray[np.int64],
    quota: NDArray[np.int64],
    groups: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Add groups greedily while the squared distance to the quotas, per row, goes down."""
    table = sparse.csr_array(
        (np.ones(len(strata), dtype=np.int64), (groups, strata)),
        shape=(int(groups.max()) + 1, len(quota)),
    )
    table.sum_duplicates()
    sizes = np.bincount(strata)
    spare = np.where(sizes >= _SMALL, sizes - 1, 0)
    held = np.zeros(len(quota), dtype=np.int64)
    chosen: list[int] = []
    best = (np.inf, -1)
    for group in rng.permutation(table.shape[0]):
        part = slice(table.indptr[group], table.indptr[group + 1])
        touched, counts = table.indices[part], table.data[part]
        after = held[touched] + counts
        if np.any(after > spare[touched]):
            continue
        gap = (after - quota[touched]) ** 2 - (held[touched] - quota[touched]) ** 2
        change = float(np.sum(gap / sizes[touched]))
        if change < 0:
            held[touched] = after
            chosen.append(int(group))
        best = min(best, (change, int(group)))
    if not chosen and best[1] >= 0 and quota.any():
        chosen = [best[1]]
    return np.isin(groups, chosen)
