"""A conformal p-value for belonging to any of the known classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainvi.errors import InputError
from domainvi.trust._check import FloatArray, check_label, check_matrix
from domainvi.trust._distance import ClassDistance
from domainvi.trust._unknown_parts import (
    ENERGY,
    Scale,
    check_arguments,
    check_spaces,
    combine,
    deal_folds,
    energy,
)

# Domains of fewer rows are not shifted: their quartile is mostly noise.
_MIN_DOMAIN_ROWS = 20


@dataclass(frozen=True)
class UnknownScorer:
    r"""Scores rows by how little they look like any known class, and ranks them among known rows.

    Maths first. Two kinds of score see different unknowns, and neither is enough by itself. The
    energy :math:`-\log \sum_c \exp \ell_c` of the logits, centred by row (Liu et al., NeurIPS
    2020), is high between known classes. The logarithm of the Mahalanobis distance to the nearest
    class centre with a shared, shrunk covariance (Lee et al., NeurIPS 2018) is high away from all
    of them. Distances are taken in every space that is passed: an adversary can hide an unknown
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

    Attributes
    ----------
    distances
        One fitted distance for each space, by name.
    scales
        Location and spread of each score, by name.
    calibration
        Sorted scores of the calibration rows.
    quantile
        Quantile that the domains are brought to agree on.

    Examples
    --------
    >>> import numpy as np
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
    quantile: float = 0.25

    @classmethod
    def fit(
        cls,
        spaces: Mapping[str, npt.ArrayLike],
        label: npt.ArrayLike,
        logits: npt.ArrayLike,
        *,
        domain: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        n_splits: int = 5,
        class_weight: float = 0.5,
        quantile: float = 0.25,
        seed: int = 0,
    ) -> "UnknownScorer":
        """Fit distances and calibration scores on labelled rows.

        Parameters
        ----------
        spaces
            Coordinates by name of the space, each of shape (rows, dimensions).
        label
            Class codes, shape (rows,).
        logits
            Logits that did not see the row's own label (held out, or cross-fitted), shape
            (rows, classes).
        domain
            Domain of each row, to bring the scores of the domains to one level first; or None.
        groups
            Patients or other units that must not be on both sides of a fold.
        n_splits
            Folds behind the calibration scores.
        class_weight
            How far location and spread are those of the predicted class: 0 in common, 1 its own.
        quantile
            Quantile that domains are brought to agree on.
        seed
            Seed of the folds.

        Raises
        ------
        InputError
            When shapes, codes or arguments are not valid, or fewer than two classes have rows.
        """
        ell = check_matrix(logits, "logits", min_columns=2)
        y = check_label(label, *ell.shape)
        named = check_spaces(spaces, len(ell))
        check_arguments(y, n_splits, class_weight, quantile)
        fold = deal_folds(y, groups, n_splits, np.random.default_rng(seed))
        predicted = ell.argmax(axis=1)
        raw = {k: ClassDistance.cross_fit(z, y, fold) for k, z in named.items()}
        raw[ENERGY] = energy(ell)
        scales = {k: Scale.fit(v, predicted, ell.shape[1], class_weight) for k, v in raw.items()}
        score = combine({k: scales[k].apply(v, predicted) for k, v in raw.items()})
        distances = {k: ClassDistance.fit(z, y) for k, z in named.items()}
        scorer = cls(distances, scales, np.sort(score), quantile)
        if domain is None:
            return scorer
        score = score - scorer.offset(score, domain)
        return cls(distances, scales, np.sort(score), quantile)

    def score(self, spaces: Mapping[str, npt.ArrayLike], logits: npt.ArrayLike) -> FloatArray:
        """Return the combined score: larger means less like any known class.

        Parameters
        ----------
        spaces
            Coordinates of the rows in the spaces of the fit.
        logits
            Logits, shape (rows, classes).

        Returns
        -------
        numpy.ndarray
            Shape (rows,); about 0 for a typical known row, without an upper bound.

        Raises
        ------
        InputError
            When spaces, dimensions or classes are not those of the fit.
        """
        n_classes = len(self.scales[ENERGY].location)
        ell = check_matrix(logits, "logits", min_columns=2)
        if ell.shape[1] != n_classes:
            raise InputError(f"`logits` has {ell.shape[1]} columns; the fit had {n_classes}.")
        named = check_spaces(spaces, len(ell))
        if set(named) != set(self.distances):
            raise InputError(
                f"`spaces` holds {sorted(named)}; the fit had {sorted(self.distances)}. Pass the "
                "same."
            )
        predicted = ell.argmax(axis=1)
        raw = {k: self.distances[k](z, k) for k, z in named.items()} | {ENERGY: energy(ell)}
        return combine({k: self.scales[k].apply(v, predicted) for k, v in raw.items()})

    def offset(self, score: npt.ArrayLike, domain: npt.ArrayLike) -> FloatArray:
        """Return what to subtract from each score to bring its domain down to the common level.

        Parameters
        ----------
        score
            Scores of the rows, shape (rows,).
        domain
            Domain of each row, shape (rows,). Domains of fewer than 20 rows are not shifted.

        Returns
        -------
        numpy.ndarray
            Shape (rows,), zero or more, constant within a domain.

        Raises
        ------
        InputError
            When lengths differ.
        """
        s, d = np.asarray(score, dtype=np.float64), np.asarray(domain)
        if s.ndim != 1 or s.shape != d.shape:
            raise InputError(
                f"`domain` must hold one value for each score; got shapes {d.shape} and {s.shape}."
            )
        out, level = np.zeros(len(s)), np.quantile(self.calibration, self.quantile)
        for value in np.unique(d):
            rows = d == value
            if rows.sum() >= _MIN_DOMAIN_ROWS:
                out[rows] = max(0.0, np.quantile(s[rows], self.quantile) - level)
        return out

    def rank(self, score: npt.ArrayLike) -> FloatArray:
        """Return the p-value of scores at the level of the calibration rows.

        Parameters
        ----------
        score
            Scores, less their offset, shape (rows,).

        Returns
        -------
        numpy.ndarray
            Shape (rows,), above 0 and at most 1.
        """
        n = len(self.calibration)
        below = np.searchsorted(self.calibration, np.asarray(score, dtype=np.float64), side="left")
        return (1 + n - below) / (n + 1)

    def p_value(
        self,
        spaces: Mapping[str, npt.ArrayLike],
        logits: npt.ArrayLike,
        *,
        domain: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Return the p-value of belonging to any known class: small means unknown.

        Parameters
        ----------
        spaces
            Coordinates of the rows in the spaces of the fit.
        logits
            Logits, shape (rows, classes).
        domain
            Domain of each row, to shift domains as described above: a p-value then depends on the
            other rows. None for no shift.

        Returns
        -------
        numpy.ndarray
            Shape (rows,), above 0 and at most 1.

        Raises
        ------
        InputError
            When spaces, dimensions, classes or lengths are not those of the fit.
        """
        score = self.score(spaces, logits)
        return self.rank(score if domain is None else score - self.offset(score, domain))

    def to_arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return everything as numeric arrays by name, for a file without pickle.

        Returns
        -------
        dict
            Arrays; names of spaces are part of the keys.
        """
        out = {"calibration": self.calibration, "quantile": np.array([self.quantile])}
        for name, scale in self.scales.items():
            out[f"scale/{name}/location"] = scale.location
            out[f"scale/{name}/spread"] = scale.spread
        for name, distance in self.distances.items():
            out[f"space/{name}/centres"] = distance.centres
            out[f"space/{name}/whitening"] = distance.whitening
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.float64]]) -> "UnknownScorer":
        """Return the scorer that `to_arrays` described.

        Parameters
        ----------
        arrays
            Arrays by name.

        Returns
        -------
        UnknownScorer
            With the same p-values.
        """
        names = [k.split("/")[1] for k in arrays if k.endswith("/centres")]
        return cls(
            distances={
                k: ClassDistance(arrays[f"space/{k}/centres"], arrays[f"space/{k}/whitening"])
                for k in names
            },
            scales={
                k: Scale(arrays[f"scale/{k}/location"], arrays[f"scale/{k}/spread"])
                for k in [*names, ENERGY]
            },
            calibration=arrays["calibration"],
            quantile=float(arrays["quantile"][0]),
        )
