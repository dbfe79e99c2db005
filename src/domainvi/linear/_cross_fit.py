"""Weights of linear members from labelled target rows, each predicted without its own label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from ._members import balanced_weights, components, logistic, sharpen
from ._statistics import domain_statistics, labelled_statistics, standardise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._members import View
    from ._rows import TrainingRows

N_FOLDS = 3
PRIOR_SHARPNESS = 1.6
PRIOR_SPREAD = 0.35


def cross_fit(rows: TrainingRows, views: dict[str, View], target_share: float) -> float:
    r"""Set the weights of the views; return the sharpness of their average.

    Labelled target rows are dealt into three folds within classes. A view's weight is
    :math:`\exp(\ell - \max \ell)` with :math:`\ell` its summed log-likelihood on held-out rows,
    and the sharpness maximises that of the average under a log-normal prior around 1.6. Nothing
    is changed when a class has a single labelled target row.
    """
    held = np.flatnonzero(rows.labelled & ~rows.in_source)
    label = rows.label[held]
    count = np.bincount(label)
    if count[count > 0].min() < 2:
        return PRIOR_SHARPNESS
    probs = _held_out_probs(rows, views, held, _deal(label), target_share)
    hits = np.maximum(probs[:, np.arange(len(held)), label], 1e-3)
    likelihood = np.log(hits).sum(axis=1)
    weights = np.exp(likelihood - likelihood.max())
    for view, weight in zip(views.values(), weights, strict=True):
        view.weight = float(weight)
    average = np.tensordot(weights / weights.sum(), probs, 1)
    return _best_sharpness(average, label)


def _deal(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Deal rows into folds within classes."""
    fold = np.zeros(len(label), dtype=np.int64)
    for c in np.unique(label):
        of_class = label == c
        fold[of_class] = np.arange(of_class.sum()) % N_FOLDS
    return fold


def _held_out_probs(
    rows: TrainingRows,
    views: dict[str, View],
    held: NDArray[np.int64],
    fold: NDArray[np.int64],
    target_share: float,
) -> NDArray[np.float64]:
    """Probabilities of each view, shape ``(n_views, n_held, n_classes)``."""
    out = np.zeros((len(views), len(held), rows.n_classes))
    by_domain = domain_statistics(rows)
    for f in np.unique(fold):
        test = held[fold == f]
        label = rows.label.copy()
        label[test] = -1
        part = rows.with_label(label)
        for i, view in enumerate(views.values()):
            features = view.features
            if view.depends_on_labels:
                statistics = labelled_statistics(part, by_domain)
                s = standardise(rows.x, rows.domain, statistics, view.gene_weight)
                features = components(s)[0]
            weight = balanced_weights(part, target_share, use_target=view.uses_target_labels)
            coef, intercept = logistic(features, label, weight, rows.n_classes)
            out[i, fold == f] = softmax(features[test] @ coef + intercept, axis=1)
    return out


def _best_sharpness(probs: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    grid = np.exp(np.linspace(np.log(0.5), np.log(4.0), 25))
    rows, k = np.arange(len(label)), probs.shape[1]
    cost = [
        -np.log(sharpen(probs, power)[rows, label] * 0.98 + 0.02 / k).sum()
        + np.log(power / PRIOR_SHARPNESS) ** 2 / (2 * PRIOR_SPREAD**2)
        for power in grid
    ]
    return float(grid[int(np.argmin(cost))])
