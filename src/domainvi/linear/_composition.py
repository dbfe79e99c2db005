"""The composition of a cohort: how far its own rows may standardise it, and by what shift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ._members import agreement, sharpen
from ._statistics import ScalingStatistics, domain_statistics, moments, safe_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domainvi._checks import FloatArray

    from ._rows import TrainingRows

# Rows of the source that a cohort's variance within classes is taken to have beyond its own.
PSEUDO_ROWS = 10
MAX_SCALE_RATIO = 20.0
N_SWEEPS = 3


@dataclass(frozen=True)
class ClassMoments:
    """Means of the source's classes, and the variance within them.

    Parameters
    ----------
    mean
        ``(n_classes, n_genes)``; shifts between source domains are taken out.
    within
        Variance within classes, classes counting the same, ``(n_genes,)``.
    prior
        Class proportions that standardised rows refer to, ``(n_classes,)``.
    """

    mean: FloatArray
    within: FloatArray
    prior: FloatArray

    def standardise_to(
        self, x: NDArray[np.float32], probs: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        r"""Centre and scale of one cohort, had it the classes in the proportions ``prior``.

        With class means :math:`\mu_k`, the shift of a cohort is the mean of what its rows' classes
        leave, :math:`\delta = \frac1n \sum_i (x_i - \sum_k q_{ik} \mu_k)`, and its centre
        :math:`\sum_k m_k \mu_k + \delta`. The variance within classes is that around the shifted
        means, with ten rows of the source added; the variance between them is that of the source,
        brought to the cohort's units by the ratio of the variances within.

        Classes that are known to differ little from what all rows say together, as for rows of
        which nothing is known, give the cohort's own mean; a cohort of one class is centred where
        that class belongs, and one row goes to where its class is.

        Parameters
        ----------
        x
            Log values of the rows, ``(n_rows, n_genes)``.
        probs
            :math:`q`, ``(n_rows, n_classes)``.
        """
        expected = (probs @ self.mean).astype(np.float32)
        shift = (x - expected).mean(axis=0, dtype=np.float64)
        rest = x - shift.astype(np.float32)
        variance = (rest * (rest - 2 * expected)).mean(axis=0, dtype=np.float64)
        variance += probs.mean(axis=0) @ np.square(self.mean)
        n = len(x)
        within = (n * np.maximum(variance, 0) + PSEUDO_ROWS * self.within) / (n + PSEUDO_ROWS)
        middle = self.prior @ self.mean
        between = self.prior @ np.square(self.mean - middle)
        ratio = within / np.maximum(self.within, 1e-8)
        ratio = np.clip(ratio, 1 / MAX_SCALE_RATIO, MAX_SCALE_RATIO)
        return middle + shift, np.sqrt((self.within + between) * ratio)


def class_moments(rows: TrainingRows, prior: FloatArray) -> ClassMoments:
    """Estimate means and variance of the classes from the labelled rows of the source domains.

    Where there are several such domains, class means and shifts of domains are fitted in turn.
    """
    used = rows.labelled & rows.in_source
    x, label, domain = rows.x[used], rows.label[used], rows.domain[used]
    codes = np.unique(domain)
    mean = np.tile(x.mean(axis=0, dtype=np.float64), (rows.n_classes, 1))
    shift = np.zeros((rows.n_domains, x.shape[1]))
    for _ in range(N_SWEEPS if len(codes) > 1 else 1):
        for c in np.unique(label):
            own = label == c
            share = np.bincount(domain[own], minlength=rows.n_domains) / own.sum()
            mean[c] = x[own].mean(axis=0) - share @ shift
        for d in codes if len(codes) > 1 else ():
            own = domain == d
            share = np.bincount(label[own], minlength=rows.n_classes) / own.sum()
            shift[d] = x[own].mean(axis=0) - share @ mean
    groups = (x[label == c] for c in np.unique(label))
    spread = [np.square(moments(part)[1]) for part in groups if len(part) > 1]
    within = np.mean(spread, axis=0) if spread else np.square(moments(x)[1])
    return ClassMoments(mean, within, prior)


def composition_statistics(
    rows: TrainingRows, probs: FloatArray, classes: ClassMoments
) -> ScalingStatistics:
    """Standardise each domain by the shift that its composition leaves; labels are believed."""
    centre, scale = domain_statistics(rows)
    q = np.where(rows.labelled[:, None], np.eye(rows.n_classes)[rows.label], probs)
    for d in np.unique(rows.domain):
        inside = rows.domain == d
        centre[d], scale[d] = classes.standardise_to(rows.x[inside], q[inside])
    return ScalingStatistics(centre, safe_scale(scale))


def consensus(
    own: Sequence[FloatArray],
    shared: FloatArray,
    members: FloatArray,
    row_wise: FloatArray,
    mixture: FloatArray,
    power: float,
) -> tuple[FloatArray, float]:
    r"""Blend members that standardise a cohort by its rows with experts that read single rows.

    Standardised by its own rows, a cohort of other composition than the reference is torn apart:
    views of it by its own statistics disagree with each other and with that by the source's, and
    none is sure; and they say that its classes are mixed as those of the reference, which the
    experts deny. With Cohen's kappa :math:`\kappa_o` of the two own views, :math:`\kappa_s` of both
    with the source's, and :math:`\bar c` the mean confidence of the members, these have the weight
    :math:`w = \kappa_o \kappa_s \bar c^2` and the experts of single rows the rest. Where the class
    proportions by the two are :math:`d` apart in total variation, the experts get
    :math:`(1 - w)\,d` more, of which their mixture, that reads the cohort as a whole, has half
    beside its part in them.

    Parameters
    ----------
    own, shared
        Probabilities in two views by the cohort's own statistics, and in one by the source's, each
        ``(n_rows, n_classes)``.
    members
        Those of the members together.
    row_wise, mixture
        Those of the experts of single rows, and of the mixture among them.
    power
        Exponent of the members' probabilities.

    Returns
    -------
    Probabilities, and the share of the experts of single rows in the weights.
    """
    kappa = agreement(own[0], own[1]) * agreement(shared, own[0] + own[1])
    weight = kappa * float(members.max(axis=1).mean()) ** 2
    distance = np.abs(members.mean(axis=0) - row_wise.mean(axis=0)).sum() / 2
    probs = weight * sharpen(members, power)
    probs += (1 - weight) * (row_wise + distance * (row_wise + mixture) / 2)
    total = 1 + (1 - weight) * distance
    return probs / probs.sum(axis=1, keepdims=True), float(1 - weight / total)
