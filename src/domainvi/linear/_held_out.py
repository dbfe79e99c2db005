"""What linear members say of labelled rows that they were not fitted to."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ._members import View, average, balanced_weights
from ._statistics import domain_statistics, gene_weights, labelled_statistics

if TYPE_CHECKING:
    from domainvi._checks import FloatArray, IntArray

    from ._rows import TrainingRows

N_FOLDS = 4
# With fewer labelled rows nothing is held out.
MIN_ROWS = 10


@dataclass(frozen=True)
class Lesson:
    """Labels of all rows, those that were taught among them, and what the taught ones weigh.

    Parameters
    ----------
    label, weight
        Codes, and weights beside those of the rows' own labels, shape ``(n_rows,)``.
    second, second_weight
        Runner-up classes and their weights, of the same shape.
    """

    label: IntArray
    weight: FloatArray
    second: IntArray
    second_weight: FloatArray

    @classmethod
    def of_labels(cls, rows: TrainingRows) -> Lesson:
        """Teach nothing beyond the labels."""
        nothing = np.zeros(len(rows.label))
        return cls(rows.label, nothing, rows.label, nothing)

    def fit(self, view: View, weight: FloatArray) -> None:
        """Fit a view to what is taught, labelled rows with the given weights."""
        view.fit(self.label, weight + self.weight, (self.second, self.second_weight))


def held_out(
    rows: TrainingRows, views: dict[str, View], target_share: float, lesson: Lesson
) -> FloatArray:
    """Class probabilities of labelled rows by views fitted without their labels.

    Labelled rows are dealt into four folds, the classes of each domain evenly. For each fold the
    views are fitted to the other labels and to the same lesson, genes weighted anew. Returned are
    averages of shape ``(n_rows, n_classes)``, not sharpened; NaN in rows without a label, and
    everywhere with fewer than ten labelled rows.
    """
    out = np.full((len(rows.label), rows.n_classes), np.nan)
    known = np.flatnonzero(rows.labelled)
    if len(known) < MIN_ROWS:
        return out
    by_domain, fold = domain_statistics(rows), np.empty_like(known)
    # Chance has no part: rows come in an order that does not change with that of the data.
    fold[np.lexsort((rows.label[known], rows.domain[known]))] = np.arange(len(known)) % N_FOLDS
    for f in range(N_FOLDS):
        held = known[fold == f]
        label = rows.label.copy()
        label[held] = -1
        part = replace(rows, label=label)
        genes, own = gene_weights(part), {}
        for name, view in views.items():
            own[name] = copy.copy(view)
            if view.depends_on_labels:
                statistics = labelled_statistics(part, by_domain)
                own[name] = replace(view, statistics=statistics, gene_weight=genes)
            elif (view.gene_weight != 1).any():
                own[name] = replace(view, gene_weight=genes)
            weight = balanced_weights(part, target_share, use_target=view.uses_target_labels)
            lesson.fit(own[name], weight)
        out[held] = average(own)[held]
    return out
