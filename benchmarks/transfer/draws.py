"""Shares of a target that show their label, for learning curves."""

import numpy as np
from numpy.typing import NDArray

from domainvi.tl import Draw


def draw_share(
    label: NDArray[np.int64],
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    share: float,
    rng: np.random.Generator,
) -> Draw:
    """Show a share of one half of the target and score the other half, the same for every share.

    Parameters
    ----------
    label
        Class codes, shape `(n_rows,)`.
    rows
        Row numbers of the target.
    groups
        Group codes, shape `(n_rows,)`; the halves share no group.
    share
        Share of the rows of each class, rounded up, over 0 and up to 1.
    rng
        Source of the halves and of the order; a larger share contains a smaller one.

    Returns
    -------
    Row numbers, sorted.
    """
    names = rng.permutation(np.unique(groups[rows]))
    scored_groups = _half(label, rows, groups, names)
    scored = rows[np.isin(groups[rows], scored_groups)]
    pool = np.setdiff1d(rows, scored)
    shown: list[int] = []
    for code in np.unique(label[pool]):
        queue = rng.permutation(pool[label[pool] == code])
        # The small subtrahend keeps 0.07 * 100 from rising to 8.
        shown += list(queue[: int(np.ceil(share * queue.size - 1e-9))])
    return Draw(np.sort(np.array(shown, dtype=np.int64)), np.sort(scored))


def _half(
    label: NDArray[np.int64],
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    names: NDArray[np.int64],
) -> list[int]:
    """Deal the groups to two hands so that both hold about as many rows of each class."""
    hands = np.zeros((2, int(label[rows].max()) + 1))
    scored: list[int] = []
    for name in names:
        counts = np.bincount(label[rows[groups[rows] == name]], minlength=hands.shape[1])
        here = counts > 0
        lighter = int(hands[1, here].sum() < hands[0, here].sum())
        hands[lighter] += counts
        if lighter == 0:
            scored.append(int(name))
    return scored
