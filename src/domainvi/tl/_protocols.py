"""Part labelled rows into those whose label is shown and those that are scored."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

Protocol = Literal["leave_one_domain_out", "cross_validation", "label_budget"]


@dataclasses.dataclass(frozen=True)
class Rows:
    """Codes of every row that a benchmark may use.

    Parameters
    ----------
    domain, label, group
        Codes, each ``(n_rows,)``; a label of -1 is unknown.
    """

    domain: NDArray[np.int64]
    label: NDArray[np.int64]
    group: NDArray[np.int64]

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Rows whose label is known."""
        return self.label >= 0


@dataclasses.dataclass(frozen=True)
class Trial:
    """One parting of the rows.

    Parameters
    ----------
    held_out
        Name of the part that is scored.
    used
        Rows that take part at all.
    shown
        Rows whose label the methods see.
    scored
        Rows on which they are compared.
    is_source
        Rows of the reference.
    budget
        Labels of each class that were shown in the target, where that is what varies.
    """

    held_out: str
    used: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    is_source: NDArray[np.bool_]
    budget: int | None = None

    @property
    def name(self) -> str:
        """What is held out, and how many labels of it are shown."""
        budget = "" if self.budget is None else f", {self.budget} labels a class"
        return f"{self.held_out} held out{budget}"

    @property
    def is_useful(self) -> bool:
        """Whether there is something to learn from and something to score."""
        return bool(self.shown.any() and self.scored.any())


def leave_one_domain_out(rows: Rows, names: Sequence[str]) -> Iterator[Trial]:
    """Hold each domain out in turn; ``names`` are those of the domains.

    Rows elsewhere whose group occurs in the held-out domain are left out, and rows of a class
    that no other domain has a label of are not scored.
    """
    for code, name in enumerate(names):
        yield _hold_out(rows, code, name, np.zeros(0, dtype=np.int64))


def label_budget(
    rows: Rows, names: Sequence[str], budgets: Sequence[int], seed: int
) -> Iterator[Trial]:
    """Hold each domain out in turn, but for as many labelled rows of each class as a budget says.

    The rows shown for a small budget are among those of a larger one; the seed chooses them.
    """
    for code, name in enumerate(names):
        target = np.flatnonzero((rows.domain == code) & rows.labelled)
        for budget in budgets if target.size else ():
            rng = np.random.default_rng(seed)
            draw = draw_per_class(rows.label, target, rows.group, budget, rng)
            yield dataclasses.replace(_hold_out(rows, code, name, draw.shown), budget=budget)


def _hold_out(rows: Rows, code: int, name: str, extra: NDArray[np.int64]) -> Trial:
    target = rows.domain == code
    used = target | ~np.isin(rows.group, rows.group[target])
    shown = used & ~target & rows.labelled
    shown[extra] = True
    fresh = ~np.isin(rows.group, rows.group[extra])
    known = np.isin(rows.label, np.unique(rows.label[shown]))
    scored = target & rows.labelled & fresh & known
    return Trial(name, used, shown, scored, used & ~target)


def cross_validation(rows: Rows, n_splits: int, seed: int) -> Iterator[Trial]:
    """Part the labelled rows at random, every domain on both sides.

    Classes are spread evenly over the folds, and groups stay whole.
    """
    labelled = np.flatnonzero(rows.labelled)
    label, group = rows.label[labelled], rows.group[labelled]
    most = min(np.unique(group).size, int(np.bincount(label).max()))
    if n_splits > most:
        msg = (
            f"n_splits={n_splits} folds cannot be made of {np.unique(group).size} groups and at "
            f"most {np.bincount(label).max()} rows of a class. Pass a smaller number."
        )
        raise InputError(msg)
    folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is in some of them only, which the table shows.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        split = list(folds.split(labelled, label, group))
    for number, (_, test) in enumerate(split):
        held = np.zeros(rows.label.size, dtype=bool)
        held[labelled[test]] = True
        used = ~np.isin(rows.group, rows.group[held]) | held
        shown = used & rows.labelled & ~held
        known = np.isin(rows.label, np.unique(rows.label[shown]))
        yield Trial(f"fold {number + 1}", used, shown, held & known, shown)


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
    label, group = label[rows], np.unique(groups[rows], return_inverse=True)[1]
    queues = [list(rng.permutation(np.flatnonzero(label == c))) for c in np.unique(label)]
    # Rows of each class that are no longer scored once a row of the group is shown.
    cost = np.zeros((group.max() + 1, label.max() + 1), dtype=np.int64)
    np.add.at(cost, (group, label), 1)
    n_rows = cost.sum(axis=0)
    spare = n_rows - np.maximum(2, n_rows // 3)
    shown: list[int] = []
    for _ in range(budget):
        for queue in queues:
            free = [i for i, row in enumerate(queue) if _can_spare(cost[group[row]], spare)]
            if free:
                row = int(queue.pop(free[0]))
                shown.append(row)
                spare = spare - cost[group[row]]
                cost[group[row]] = 0
    is_scored = ~np.isin(group, group[np.array(shown, dtype=np.int64)])
    return Draw(np.sort(rows[np.array(shown, dtype=np.int64)]), np.sort(rows[is_scored]))


def _can_spare(cost: NDArray[np.int64], spare: NDArray[np.int64]) -> bool:
    return bool(np.all((cost == 0) | (cost <= spare)))
