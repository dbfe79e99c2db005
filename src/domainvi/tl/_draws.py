"""Choose the rows of a target that show their label, and those that are left to be scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Draw(NamedTuple):
    """Rows whose label is shown to the methods, and rows on which they are scored."""

    shown: NDArray[np.int64]
    scored: NDArray[np.int64]


def draw_per_class(
    label: NDArray[np.int64],
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    budget: int,
    rng: np.random.Generator,
) -> Draw:
    """Show the label of up to ``budget`` rows of each class.

    Rows are taken class by class in turn, in an order set by ``rng`` alone, so that a larger budget
    contains a smaller one. A row whose group (a patient) has a shown row is not scored. A row is
    passed over where taking it would leave a class with less than a third of its rows, or less
    than two, to be scored; so a small class may show fewer than ``budget``.
    ``label`` and ``groups`` are codes of all rows, ``rows`` the row numbers of the target.
    """
    queues = [list(rng.permutation(rows[label[rows] == c])) for c in np.unique(label[rows])]
    left = np.bincount(label[rows])
    least = np.maximum(2, left // 3)
    seen: set[int] = set()
    shown: list[int] = []
    for _ in range(budget):
        for queue in queues:
            row = _next_row(queue, label, rows, groups, seen, left - least)
            if row is None:
                continue
            shown.append(row)
            if groups[row] not in seen:
                seen.add(int(groups[row]))
                left = left - _group_classes(label, rows, groups, row)
    scored = rows[~np.isin(groups[rows], list(seen))]
    return Draw(np.sort(np.array(shown, dtype=np.int64)), np.sort(scored))


def _group_classes(
    label: NDArray[np.int64], rows: NDArray[np.int64], groups: NDArray[np.int64], row: int
) -> NDArray[np.int64]:
    members = rows[groups[rows] == groups[row]]
    return np.bincount(label[members], minlength=int(label[rows].max()) + 1)


def _next_row(
    queue: list[int],
    label: NDArray[np.int64],
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    seen: set[int],
    spare: NDArray[np.int64],
) -> int | None:
    """Take the first row of the queue that the target can spare."""
    for at, row in enumerate(queue):
        free = int(groups[row]) in seen
        if free or np.all(_within(_group_classes(label, rows, groups, row), spare)):
            return int(queue.pop(at))
    return None


def _within(cost: NDArray[np.int64], spare: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (cost == 0) | (cost <= spare)
