"""Unknown score: the p-value of a row for belonging to any known class."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf

from domainvi._checks import check_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from domainvi._checks import FloatArray, IntArray

_FOLDS = 5
# How far location and spread of a score are those of the predicted class, and not common to all.
_CLASS_WEIGHT = 0.5
# Fewer rows than this give no class a scale of its own.
_MIN_CLASS_ROWS = 5
# Quantile that domains are brought to agree on.
_QUANTILE = 0.25
# Domains of fewer rows are not shifted: their quartile is mostly noise.
_MIN_DOMAIN_ROWS = 20
# Log distances of rows that lie on a centre, or of latents that collapsed to a point, stay finite.
_TINY = 1e-12
_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class ClassDistance:
    r"""Logarithm of the squared Mahalanobis distance to the nearest class centre.

    :math:`\log \min_c (z - \mu_c)^\top \Sigma^{-1} (z - \mu_c)`, with one covariance
    :math:`\Sigma` of the residuals in all classes, shrunk by Ledoit and Wolf's rule (Journal of
    Multivariate Analysis 2004) so that few rows in many dimensions are no problem.

    Parameters
    ----------
    centres
        :math:`\mu`, shape (classes with rows, dimensions).
    whitening
        :math:`W` with :math:`W W^\top = \Sigma^{-1}`, shape (dimensions, dimensions).
    """

    centres: FloatArray
    whitening: FloatArray

    @classmethod
    def fit(cls, z: FloatArray, label: IntArray) -> ClassDistance:
        """Estimate the centres and the covariance."""
        classes, index = np.unique(label, return_inverse=True)
        centres = np.stack([z[index == c].mean(axis=0) for c in range(len(classes))])
        covariance, _ = ledoit_wolf(z - centres[index], assume_centered=True)
        ridge = 1e-9 * np.trace(covariance) / len(covariance) + _TINY
        value, vector = np.linalg.eigh(covariance + ridge * np.eye(len(covariance)))
        return cls(centres, vector / np.sqrt(np.clip(value, _TINY, None)))

    @staticmethod
    def cross_fit(z: FloatArray, label: IntArray, fold: IntArray) -> FloatArray:
        """Return the distance of each row from centres that were estimated without its fold."""
        out = np.empty(len(z))
        for f in np.unique(fold):
            held = fold == f
            out[held] = ClassDistance.fit(z[~held], label[~held])(z[held])
        return out

    def __call__(self, z: FloatArray) -> FloatArray:
        """Return the log distance of each row."""
        squared = cdist(z @ self.whitening, self.centres @ self.whitening, "sqeuclidean")
        return np.log(squared.min(axis=1) + _TINY)


@dataclass(frozen=True)
class Scale:
    """Location and spread of one score for every predicted class, each of shape (classes,)."""

    location: FloatArray
    spread: FloatArray

    @classmethod
    def fit(cls, score: FloatArray, predicted: IntArray, n_classes: int) -> Scale:
        """Take median and upper spread by class, each drawn half of the way to the common ones."""
        location, spread = np.full((2, n_classes), _median_spread(score)[:, None])
        for c in range(n_classes):
            part = score[predicted == c]
            if len(part) >= _MIN_CLASS_ROWS:
                median, own = _median_spread(part)
                location[c] += _CLASS_WEIGHT * (median - location[c])
                spread[c] *= (own / spread[c]) ** _CLASS_WEIGHT
        return cls(location, spread)

    def __call__(self, score: FloatArray, predicted: IntArray) -> FloatArray:
        """Return scores by the location and spread of the predicted class."""
        return (score - self.location[predicted]) / self.spread[predicted]


@dataclass(frozen=True)
class UnknownScorer:
    r"""Scores rows by how little they look like any known class, and ranks them among known rows.

    Two kinds of score see different unknowns, and neither is enough by itself. The energy
    :math:`-\log \sum_c \exp \ell_c` of the logits, centred by row (Liu et al., NeurIPS 2020), is
    high between known classes. The logarithm of the Mahalanobis distance to the nearest class
    centre with a shared, shrunk covariance (Lee et al., NeurIPS 2018) is high away from all of
    them. Both read coordinates that nothing was adapted in: an adversary, or a member that was
    taught about a target, can hide an unknown inside a known class. Each score is set to median 0
    and a spread (0.9 quantile minus median) of 1 on the calibration rows, half by predicted class
    and half in common, and

    .. math:: s = s_{\mathrm{energy}} + s_{\mathrm{distance}}, \qquad
              p = \frac{1 + \#\{j : s_j \ge s\}}{n + 1}

    over the n calibration rows: the conformal p-value (Vovk, Gammerman and Shafer 2005), never 0,
    uniform or conservative when a row is exchangeable with them. Centres and covariance behind the
    calibration scores are cross-fitted, so that no row is compared with a centre that it moved.

    Rows of another cohort are not exchangeable: everything there lies a little further out. So the
    scores of a domain whose lower quartile is above that of the calibration rows are shifted down
    to it; never up, since nothing is known better in another cohort. This assumes that the lower
    quartile belongs to known rows, which fails when most of the domain is unknown.

    Parameters
    ----------
    classifier
        Intercepts, and below them coefficients, of the classifier whose logits are scored, shape
        (1 + dimensions, classes).
    distance
        Distance from the centres of the classes.
    energy_scale, distance_scale
        Location and spread of both scores.
    calibration
        Sorted scores of the calibration rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = rng.integers(2, size=400)
    >>> z = rng.normal(size=(400, 2)) + 8 * np.eye(2)[label]
    >>> fold = deal_folds(label, rng)
    >>> scorer = UnknownScorer.fit(z, label, z, np.eye(3)[:, 1:], fold)
    >>> known, unknown = [[8.0, 0.0]], [[40.0, 40.0]]
    >>> scorer.p_value(known).item() > 0.1
    True
    >>> round(scorer.p_value(unknown).item(), 4)
    0.0025
    """

    classifier: FloatArray
    distance: ClassDistance
    energy_scale: Scale
    distance_scale: Scale
    calibration: FloatArray

    @classmethod
    def fit(
        cls,
        z: FloatArray,
        label: IntArray,
        logits: FloatArray,
        classifier: FloatArray,
        fold: IntArray,
        *,
        domain: IntArray | None = None,
    ) -> UnknownScorer:
        """Fit distance and calibration scores on labelled rows of two classes or more.

        Parameters
        ----------
        z
            Coordinates, shape (rows, dimensions).
        label, logits
            Class codes, and logits that did not see the row's own label.
        classifier
            What gives the logits of other rows.
        fold
            Fold of each row behind the calibration scores (:func:`deal_folds`).
        domain
            Domain of each row, to bring the scores of the domains to one level first; or ``None``.
        """
        predicted, n_classes = logits.argmax(axis=1), logits.shape[1]
        near, between = ClassDistance.cross_fit(z, label, fold), energy(logits)
        wide, far = (Scale.fit(v, predicted, n_classes) for v in (between, near))
        score = wide(between, predicted) + far(near, predicted)
        scorer = cls(classifier, ClassDistance.fit(z, label), wide, far, np.sort(score))
        if domain is not None:
            score = score - scorer.offset(score, domain)
        return replace(scorer, calibration=np.sort(score))

    def score(self, z: ArrayLike) -> FloatArray:
        """Return the combined score: about 0 for a known row, larger for one less like any class.

        An :class:`~domainvi.errors.InputError` says where a value is NaN or infinite, which would
        rank as unknown.
        """
        z = np.asarray(z)
        out = np.empty(len(z))
        # Some rows at a time: each has a logit and a distance of every class, several times over.
        for start in range(0, max(len(z), 1), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            part = check_matrix(z[rows], "z")
            logits = part @ self.classifier[1:] + self.classifier[0]
            predicted = logits.argmax(axis=1)
            between = self.energy_scale(energy(logits), predicted)
            out[rows] = between + self.distance_scale(self.distance(part), predicted)
        return out

    def offset(self, score: FloatArray, domain: IntArray) -> FloatArray:
        """Return what to subtract from each score to bring its domain down to the common level.

        Zero or more, constant within a domain. Domains of fewer than 20 rows are not shifted.
        """
        out, level = np.zeros(len(score)), np.quantile(self.calibration, _QUANTILE)
        for value in np.unique(domain):
            rows = domain == value
            if rows.sum() >= _MIN_DOMAIN_ROWS:
                out[rows] = max(0.0, np.quantile(score[rows], _QUANTILE) - level)
        return out

    def p_value(self, z: ArrayLike, *, domain: IntArray | None = None) -> FloatArray:
        """Return the p-value of belonging to any known class, above 0: small means unknown.

        With ``domain``, that of each row, domains are shifted as described above: a p-value then
        depends on the other rows.
        """
        score = self.score(z)
        if domain is not None:
            score = score - self.offset(score, domain)
        return self.rank(score)

    def rank(self, score: FloatArray) -> FloatArray:
        """Return the p-values of scores that were shifted already."""
        n = len(self.calibration)
        return (1 + n - np.searchsorted(self.calibration, score, side="left")) / (n + 1)

    def to_arrays(self) -> dict[str, FloatArray]:
        """Return everything as numeric arrays by name, for a file without pickle."""
        out = {"classifier": self.classifier, "calibration": self.calibration}
        for name, kind in _PARTS.items():
            out |= {f"{name}/{f.name}": vars(getattr(self, name))[f.name] for f in fields(kind)}
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> UnknownScorer:
        """Return the scorer that :meth:`to_arrays` described."""
        parts = {
            name: kind(**{f.name: arrays[f"{name}/{f.name}"] for f in fields(kind)})
            for name, kind in _PARTS.items()
        }
        return cls(classifier=arrays["classifier"], calibration=arrays["calibration"], **parts)


_PARTS: dict[str, Any] = {
    "distance": ClassDistance,
    "energy_scale": Scale,
    "distance_scale": Scale,
}


def energy(logits: FloatArray) -> FloatArray:
    """Return the energy of each row: high between the classes."""
    # Logits are known up to a constant by row; centred rows make the energy free of it.
    return -logsumexp(logits - logits.mean(axis=1, keepdims=True), axis=1)


def deal_folds(label: IntArray, rng: np.random.Generator) -> IntArray:
    """Deal rows to folds class by class, so that small classes are spread evenly."""
    fold = np.empty(len(label), dtype=np.int64)
    fold[np.lexsort((rng.random(len(label)), label))] = np.arange(len(label)) % _FOLDS
    return fold


def _median_spread(score: FloatArray) -> FloatArray:
    median, upper = np.quantile(score, [0.5, 0.9])
    return np.array([median, upper - median if upper > median else 1.0])
