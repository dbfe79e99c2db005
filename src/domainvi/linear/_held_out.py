"""Lessons of linear members, and their answers on labelled rows that they did not see."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ._members import View, average, balanced_weights
from ._rows import blocks
from ._statistics import domain_statistics, gene_weights, labelled_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

    from ._rows import TrainingRows

N_FOLDS = 4
# A quarter of more labelled rows than this says as much as all of them.
ENOUGH_ROWS = 2000
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
    def of_probabilities(
        cls, probs: FloatArray, rows: TrainingRows, free: NDArray[np.bool_]
    ) -> Lesson:
        """Teach the likeliest class of free rows, and the runner-up as far as it is as likely."""
        label, extra = confident_rows(probs, rows, free, 1.0, balance=0.5)
        index, second, second_weight = np.flatnonzero(free), np.zeros_like(label), 0 * extra
        for some in blocks(len(index)):
            taught = index[some]
            order = np.argsort(-probs[taught], axis=1, kind="stable")[:, :2]
            best, other = np.take_along_axis(probs[taught], order, axis=1).T
            second[taught] = order[:, 1]
            second_weight[taught] = extra[taught] * (other / (best + other))
        return cls(label, extra - second_weight, second, second_weight)

    def fit(self, view: View, weight: FloatArray) -> None:
        """Fit a view to what is taught, labelled rows with the given weights."""
        view.fit(self.label, weight + self.weight, (self.second, self.second_weight))


def held_out(
    rows: TrainingRows, views: dict[str, View], target_share: FloatArray, free: NDArray[np.bool_]
) -> FloatArray:
    """Class probabilities of labelled rows by views fitted without their labels.

    Labelled rows are dealt into four folds, the classes of each domain evenly; of more than 2,000
    rows one fold is enough. For each fold the
    views are fitted to the other labels, genes weighted anew; where there are free rows, they are
    fitted again to what they then say of these, since what the views themselves were taught knows
    all labels. Returned are averages of shape ``(n_rows, n_classes)``, not sharpened; NaN in rows
    without a label, and everywhere with fewer than ten labelled rows.
    """
    out = np.full((len(rows.label), rows.n_classes), np.nan)
    known = np.flatnonzero(rows.labelled)
    if len(known) < MIN_ROWS:
        return out
    by_domain, fold = domain_statistics(rows), np.empty_like(known)
    # Chance has no part: rows come in an order that does not change with that of the data.
    fold[np.lexsort((rows.label[known], rows.domain[known]))] = np.arange(len(known)) % N_FOLDS
    for f in range(N_FOLDS if len(known) <= ENOUGH_ROWS else 1):
        held = known[fold == f]
        label = rows.label.copy()
        label[held] = -1
        part = replace(rows, label=label)
        genes, own, weights = gene_weights(part), {}, {}
        for name, view in views.items():
            own[name] = copy.copy(view)
            if view.depends_on_labels:
                statistics = labelled_statistics(part, by_domain)
                own[name] = replace(view, statistics=statistics, gene_weight=genes)
            elif (view.gene_weight != 1).any():
                own[name] = replace(view, gene_weight=genes)
            # A fit that went on from the last one would know the labels that are held out.
            own[name].solution = None
            use_target = view.uses_target_labels
            weights[name] = balanced_weights(part, target_share, use_target=use_target)
            own[name].fit(part.label, weights[name])
        if free.any():
            lesson = Lesson.of_probabilities(average(own), part, free)
            for name, view in own.items():
                lesson.fit(view, weights[name])
        out[held] = average(own)[held]
    return out


def confident_rows(
    probs: FloatArray,
    rows: TrainingRows,
    free: NDArray[np.bool_],
    share: float,
    balance: float = 1.0,
) -> tuple[IntArray, FloatArray]:
    """Take the most confident ``share`` of each predicted class among free rows as labelled.

    Returned are the labels with the new ones in, and the weights of the new ones: one a row on
    average, and by class :math:`n^{1 - b}` for :math:`n` rows and the exponent ``balance``, so that
    classes are the same at 1 and rows at 0.
    """
    label, index = rows.label.copy(), np.flatnonzero(free)
    predicted = probs[index].argmax(axis=1)
    for c in np.unique(predicted):
        candidates = index[predicted == c]
        n = int(np.ceil(share * len(candidates)))
        label[candidates[np.argsort(-probs[candidates, c], kind="stable")[:n]]] = c
    new = (label >= 0) & ~rows.labelled
    weight = np.zeros(len(label))
    if new.any():
        weight[new] = np.bincount(label[new])[label[new]] ** -balance
        weight *= new.sum() / weight.sum()
    return label, weight
