"""Linear members of auxiliary phenotypes, with strengths and errors from held-out domains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import StratifiedKFold

from domainvi.trust import fit_calibrator

from ._members import components, logistic
from ._rows import TrainingRows
from ._statistics import gene_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

    Coefficients = tuple[FloatArray, FloatArray]
    Fit = Callable[[NDArray[np.bool_], float], Coefficients]

N_FOLDS = 5
# Strengths of the logistic regressions on all genes alike, and on genes weighted by the classes.
PLAIN = (0.003, 0.03, 0.3)
FOCUSED = (0.03, 0.3)
# Penalties of the ridge regression, and the principal components that it is given.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 1e4)
RANK = 300
# Values that the mean of all counts for in the mean of a domain; rows of each class in its
# class prior.
PRIOR_ROWS = 10
PSEUDO_ROWS = 5
# A temperature for which held-out domains speak may sharpen this far.
MIN_TEMPERATURE = 0.5


@dataclass(frozen=True)
class LinearPhenotype:
    """The linear member of an auxiliary phenotype, on standardised genes.

    Parameters
    ----------
    coef, intercept
        ``(n_genes, n_outputs)`` and ``(n_outputs,)``.
    offset
        What is added for rows of each domain, ``(n_domains, n_outputs)``.
    is_known
        Which domains have values, ``(n_domains,)``.
    class_weight
        Weight of a row of each class, ``(n_outputs,)``.
    temperature
        Temperature of the probabilities, from held-out rows.
    location, scale
        Mean and standard deviation of a numeric phenotype.
    spread, widening
        Standard error of a numeric phenotype on held-out rows, in units of ``scale``, and its
        factor in domains without values.
    """

    coef: FloatArray
    intercept: FloatArray
    offset: FloatArray
    is_known: NDArray[np.bool_]
    class_weight: FloatArray
    temperature: float = 1.0
    location: float = 0.0
    scale: float = 1.0
    spread: float = 1.0
    widening: float = 1.0


def fit_class_phenotype(
    s: NDArray[np.float32],
    domain: IntArray,
    code: IntArray,
    n_domains: int,
    n_classes: int,
    seed: int,
) -> LinearPhenotype:
    """Fit a categorical phenotype: the mean score of two logistic regressions.

    One reads all genes alike; the other weights them by how they differ between classes
    (:func:`gene_weights`), which finds phenotypes that a few genes tell. Strengths and the
    temperature are those that suit held-out domains, or held-out rows, dealt by the seed, where one
    domain alone has values. Rows ``s`` are those with a value, standardised.
    """
    rows = TrainingRows(s, domain, code, np.ones(n_domains, dtype=bool), n_classes)
    weight = paired_weights(domain, code, n_classes)
    fold = deal_domains(domain)
    of_domains = can_cross_fit(fold, code, weight)
    if not of_domains:
        fold = deal_rows(code, seed)
    fits = [
        best_fit(partial(fit_logistic, rows, weight, focused), strengths, rows, fold, weight)
        for strengths, focused in ((PLAIN, False), (FOCUSED, True))
    ]
    held_out, coef, intercept = (np.mean(parts, axis=0) for parts in zip(*fits, strict=True))
    least = MIN_TEMPERATURE if of_domains else 1.0
    calibrator = fit_calibrator(held_out, code, sample_weight=weight, min_temperature=least)
    count = count_classes(domain, code, n_domains, n_classes)
    prior = (count + PSEUDO_ROWS) / (count + PSEUDO_ROWS).sum(axis=1, keepdims=True)
    is_known = count.sum(axis=1) > 0
    return LinearPhenotype(
        coef=coef,
        intercept=intercept,
        # Log-odds of the classes of a domain against even ones.
        offset=np.where(is_known[:, None], np.log(n_classes * prior), 0.0),
        is_known=is_known,
        class_weight=len(code) / (n_classes * np.maximum(count.sum(axis=0), 1)),
        temperature=calibrator.temperature,
    )


def fit_numeric_phenotype(
    s: NDArray[np.float32], domain: IntArray, value: FloatArray, n_domains: int, seed: int
) -> LinearPhenotype:
    """Fit a numeric phenotype: ridge regression on principal components within domains.

    Rows are standardised by their domain, and so are the values: each domain has its own mean,
    shrunk to that of all by ten rows. The penalty is the one that suits held-out domains; the
    errors there give the standard error, once with the mean of the domain known and once without.
    """
    location, scale = float(value.mean()), max(float(value.std()), 1e-12)
    v = (value - location) / scale
    n = np.bincount(domain, minlength=n_domains)
    offset = np.bincount(domain, v, n_domains) / (n + PRIOR_ROWS)
    features, basis, mean = components(s, RANK)
    residual = v - offset[domain]
    fit = partial(fit_ridge, features, residual)
    of_domains = len(np.unique(domain)) > 1
    nothing = np.zeros(len(v), dtype=np.int64)
    fold = deal_domains(domain) if of_domains else deal_rows(nothing, seed)
    errors = {p: residual - cross_fitted(fit, features, fold, p, 1)[:, 0] for p in PENALTIES}
    squared = {p: float(np.square(error).mean()) for p, error in errors.items()}
    best = min(PENALTIES, key=lambda p: squared[p])
    slope, intercept = fit(np.ones(len(s), dtype=bool), best)
    coef, spread = basis @ slope, float(np.sqrt(squared[best]))
    others = len(v) - np.bincount(fold)
    mean_of_others = (v.sum() - np.bincount(fold, v)) / np.maximum(others, 1)
    without_mean = errors[best] + offset[domain] - mean_of_others[fold]
    widening = float(np.sqrt(np.square(without_mean).mean())) / max(spread, 1e-12)
    return LinearPhenotype(
        coef=coef,
        intercept=intercept - mean @ coef,
        offset=offset[:, None],
        is_known=n > 0,
        class_weight=np.ones(1),
        location=location,
        scale=scale,
        spread=spread,
        widening=max(widening, 1.0) if of_domains else 1.0,
    )


def count_classes(domain: IntArray, code: IntArray, n_domains: int, n_classes: int) -> IntArray:
    """Count the rows of each class in each domain, ``(n_domains, n_classes)``."""
    pair = domain * n_classes + code
    return np.bincount(pair, minlength=n_domains * n_classes).reshape(n_domains, n_classes)


def best_fit(
    fit: Fit, strengths: tuple[float, ...], rows: TrainingRows, fold: IntArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scores of held-out rows at the best strength, and coefficients and intercepts of all rows."""
    scores = {c: cross_fitted(fit, rows.x, fold, c, rows.n_classes) for c in strengths}
    best = min(strengths, key=lambda c: calibrated_loss(scores[c], rows.label, weight))
    return scores[best], *fit(rows.labelled, best)


def calibrated_loss(scores: FloatArray, code: IntArray, weight: FloatArray) -> float:
    """Weighted negative log-likelihood at the best temperature, so that order alone counts."""
    best = fit_calibrator(scores, code, sample_weight=weight)
    p = best.apply(scores)[np.arange(len(code)), code]
    return float(-(weight * np.log(np.maximum(p, 1e-12))).mean())


def cross_fitted(
    fit: Fit, x: NDArray[np.floating], fold: IntArray, strength: float, n_outputs: int
) -> FloatArray:
    """Scores of each row by a fit to the other folds, ``(n_rows, n_outputs)``."""
    out = np.zeros((len(x), n_outputs))
    for f in np.unique(fold):
        held = fold == f
        coef, intercept = fit(~held, strength)
        out[held] = x[held] @ coef + intercept
    return out


def fit_logistic(
    rows: TrainingRows, weight: FloatArray, focused: bool, used: NDArray[np.bool_], strength: float
) -> Coefficients:
    """Fit the used rows by their weights; ``focused`` weights genes by how they tell classes."""
    part = replace(rows, label=np.where(used, rows.label, -1))
    genes = gene_weights(part) if focused else np.ones(rows.x.shape[1])
    x = (rows.x * genes).astype(np.float64)
    # Where none of the rows of a fold has a weight, they count alike.
    own = weight * used if weight[used].any() else used.astype(np.float64)
    coef, intercept = logistic(x, rows.label, own, rows.n_classes, strength)
    return genes[:, None] * coef, intercept


def fit_ridge(
    features: FloatArray, values: FloatArray, used: NDArray[np.bool_], penalty: float
) -> Coefficients:
    """Fit the used values."""
    ridge = Ridge(penalty).fit(features[used], values[used, None])
    return ridge.coef_.reshape(1, -1).T, np.atleast_1d(ridge.intercept_)


def deal_domains(domain: IntArray) -> IntArray:
    """Deal domains into at most five folds, the largest first, each to the smallest fold."""
    names, index, count = np.unique(domain, return_inverse=True, return_counts=True)
    fold, load = np.zeros(len(domain), dtype=np.int64), np.zeros(min(N_FOLDS, len(names)))
    for d in np.argsort(-count, kind="stable"):
        fold[index == d] = load.argmin()
        load[load.argmin()] += count[d]
    return fold


def deal_rows(code: IntArray, seed: int) -> IntArray:
    """Deal rows into at most five folds within classes."""
    fold = np.zeros(len(code), dtype=np.int64)
    smallest = int(np.unique(code, return_counts=True)[1].min())
    cut = StratifiedKFold(max(2, min(N_FOLDS, smallest)), shuffle=True, random_state=seed)
    for f, (_, held) in enumerate(cut.split(fold, code)):
        fold[held] = f
    return fold


def can_cross_fit(fold: IntArray, code: IntArray, weight: FloatArray) -> bool:
    """Whether there are several folds, and without each of them two classes or more have weight."""
    used = [(fold != f) & (weight > 0) for f in np.unique(fold)]
    return len(used) > 1 and all(len(np.unique(code[rows])) > 1 for rows in used)


def paired_weights(domain: IntArray, code: IntArray, n_classes: int) -> FloatArray:
    r"""Weight rows so that classes count the same within each domain, and altogether.

    Rows that are standardised by their domain say nothing of a class that is alone in it: such a
    domain has no weight, unless nothing else has the class. A domain with few rows of a class
    counts as that many: each of its :math:`K` classes has the weight :math:`K / \sum_k n_k^{-1}`.
    """
    count = count_classes(domain, code, int(domain.max()) + 1, n_classes)
    inverse = np.where(count > 0, 1 / np.maximum(count, 1), 0.0)
    n_present = (count > 0).sum(axis=1)
    effective = np.where(n_present > 1, n_present / np.maximum(inverse.sum(axis=1), 1e-12), 0.0)
    weight = (effective[:, None] * inverse)[domain, code]
    weight[np.bincount(code, weight, n_classes)[code] == 0] = 1.0
    weight /= np.bincount(code, weight, n_classes)[code]
    return weight * len(code) / weight.sum()
