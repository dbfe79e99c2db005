"""Unknown score: the p-value of a row for belonging to any known class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf

from domainvi._checks import check_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from domainvi._checks import FloatArray, IntArray

_ENERGY = "energy"
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
        white, centres = z @ self.whitening, self.centres @ self.whitening
        squared = np.stack([((white - c) ** 2).sum(axis=1) for c in centres], axis=1)
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


@dataclass(frozen=True)
class UnknownScorer:
    r"""Scores rows by how little they look like any known class, and ranks them among known rows.

    Two kinds of score see different unknowns, and neither is enough by itself. The energy
    :math:`-\log \sum_c \exp \ell_c` of the logits, centred by row (Liu et al., NeurIPS 2020), is
    high between known classes. The logarithm of the Mahalanobis distance to the nearest class
    centre with a shared, shrunk covariance (Lee et al., NeurIPS 2018) is high away from all of
    them. Distances are taken in every space that is passed: an adversary can hide an unknown
    inside a known cluster of the adapted latents, so pass an un-adapted space as well. Each score
    is set to median 0 and a spread (0.9 quantile minus median) of 1 on the calibration rows, half
    by predicted class and half in common, and

    .. math:: s = s_{\mathrm{energy}} + \mathrm{mean}_{spaces}\, s_{\mathrm{distance}}, \qquad
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
    distances
        One fitted distance for each space, by name.
    scales
        Location and spread of each score, by name.
    calibration
        Sorted scores of the calibration rows.
    classifier
        Intercepts, and below them coefficients, of a linear classifier on the spaces side by side,
        whose logits are used in place of those that are passed; or ``None``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = rng.integers(2, size=400)
    >>> z = rng.normal(size=(400, 2)) + 8 * np.eye(2)[label]
    >>> scorer = UnknownScorer.fit({"latent": z}, label, logits=z)
    >>> known, unknown = [[8.0, 0.0]], [[40.0, 40.0]]
    >>> scorer.p_value({"latent": known}, known).item() > 0.1
    True
    >>> round(scorer.p_value({"latent": unknown}, unknown).item(), 4)
    0.0025
    """

    distances: dict[str, ClassDistance]
    scales: dict[str, Scale]
    calibration: FloatArray
    classifier: FloatArray | None = None

    @classmethod
    def fit(
        cls,
        spaces: Mapping[str, ArrayLike],
        label: IntArray,
        logits: ArrayLike,
        *,
        domain: IntArray | None = None,
        seed: int = 0,
        classifier: FloatArray | None = None,
    ) -> UnknownScorer:
        """Fit distances and calibration scores on labelled rows of two classes or more.

        Parameters
        ----------
        spaces
            Coordinates by name of the space, each of shape (rows, dimensions). A name has no slash
            and is not ``"energy"``.
        label, logits
            Class codes, and logits that did not see the row's own label.
        domain
            Domain of each row, to bring the scores of the domains to one level first; or ``None``.
        seed
            Random seed for the five folds behind the calibration scores.
        classifier
            What gives the logits of other rows, where they are not passed on.
        """
        ell, named = _finite(spaces, logits)
        fold, predicted = deal_folds(label, np.random.default_rng(seed)), ell.argmax(axis=1)
        raw = {k: ClassDistance.cross_fit(z, label, fold) for k, z in named.items()}
        raw[_ENERGY] = energy(ell)
        scales = {k: Scale.fit(v, predicted, ell.shape[1]) for k, v in raw.items()}
        score = _combine(raw, scales, predicted)
        distances = {k: ClassDistance.fit(z, label) for k, z in named.items()}
        scorer = cls(distances, scales, np.sort(score))
        if domain is not None:
            score = score - scorer.offset(score, domain)
        return replace(scorer, calibration=np.sort(score), classifier=classifier)

    def score(self, spaces: Mapping[str, ArrayLike], logits: ArrayLike) -> FloatArray:
        """Return the combined score: about 0 for a known row, larger for one less like any class.

        An :class:`~domainvi.errors.InputError` says where a value is NaN or infinite.
        """
        ell, named = _finite(spaces, logits)
        if self.classifier is not None:
            z = np.concatenate([named[k] for k in self.distances], axis=1)
            ell = z @ self.classifier[1:] + self.classifier[0]
        raw = {k: distance(named[k]) for k, distance in self.distances.items()}
        raw[_ENERGY] = energy(ell)
        return _combine(raw, self.scales, ell.argmax(axis=1))

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

    def p_value(
        self, spaces: Mapping[str, ArrayLike], logits: ArrayLike, *, domain: IntArray | None = None
    ) -> FloatArray:
        """Return the p-value of belonging to any known class, above 0: small means unknown.

        With ``domain``, that of each row, domains are shifted as described above: a p-value then
        depends on the other rows.
        """
        score = self.score(spaces, logits)
        if domain is not None:
            score = score - self.offset(score, domain)
        n = len(self.calibration)
        return (1 + n - np.searchsorted(self.calibration, score, side="left")) / (n + 1)

    def to_arrays(self) -> dict[str, FloatArray]:
        """Return everything as numeric arrays by name, for a file without pickle."""
        out = {"calibration": self.calibration}
        out |= {} if self.classifier is None else {"classifier": self.classifier}
        for name, scale in self.scales.items():
            out |= {f"scale/{name}/{k}": v for k, v in vars(scale).items()}
        for name, distance in self.distances.items():
            out |= {f"space/{name}/{k}": v for k, v in vars(distance).items()}
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> UnknownScorer:
        """Return the scorer that :meth:`to_arrays` described."""
        parts: dict[tuple[str, str], dict[str, FloatArray]] = {}
        for path, array in arrays.items():
            if "/" in path:
                kind, name, field = path.split("/")
                parts.setdefault((kind, name), {})[field] = array
        names = [name for kind, name in parts if kind == "space"]
        return cls(
            {name: ClassDistance(**parts["space", name]) for name in names},
            {name: Scale(**parts["scale", name]) for name in [*names, _ENERGY]},
            arrays["calibration"],
            arrays.get("classifier"),
        )


def energy(logits: FloatArray) -> FloatArray:
    """Return the energy of each row: high between the classes."""
    # Logits are known up to a constant by row; centred rows make the energy free of it.
    return -logsumexp(logits - logits.mean(axis=1, keepdims=True), axis=1)


def deal_folds(label: IntArray, rng: np.random.Generator) -> IntArray:
    """Deal rows to folds class by class, so that small classes are spread evenly."""
    fold = np.empty(len(label), dtype=np.int64)
    fold[np.lexsort((rng.random(len(label)), label))] = np.arange(len(label)) % _FOLDS
    return fold


def _finite(
    spaces: Mapping[str, ArrayLike], logits: ArrayLike
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Refuse NaN, which would rank as unknown."""
    named = {k: check_matrix(z, f"spaces[{k!r}]") for k, z in spaces.items()}
    return check_matrix(logits, "logits"), named


def _median_spread(score: FloatArray) -> FloatArray:
    median, upper = np.quantile(score, [0.5, 0.9])
    return np.array([median, upper - median if upper > median else 1.0])


def _combine(
    raw: dict[str, FloatArray], scales: dict[str, Scale], predicted: IntArray
) -> FloatArray:
    """Add the energy and the mean of the distances, each on its scale."""
    scaled = {
        k: (v - scales[k].location[predicted]) / scales[k].spread[predicted] for k, v in raw.items()
    }
    return scaled.pop(_ENERGY) + np.mean(list(scaled.values()), axis=0)
