"""Distance to the nearest class centre."""

from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf

from domainvi.errors import InputError
from domainvi.trust._check import FloatArray, IntArray

# Log distances of rows that lie on a centre, or of latents that collapsed to a point, stay finite.
_TINY = 1e-12


@dataclass(frozen=True)
class ClassDistance:
    r"""Logarithm of the squared Mahalanobis distance to the nearest class centre.

    Maths first: :math:`\log \min_c (z - \mu_c)^\top \Sigma^{-1} (z - \mu_c)`, with one covariance
    :math:`\Sigma` of the residuals in all classes, shrunk by Ledoit and Wolf's rule (Journal of
    Multivariate Analysis 2004) so that few rows in many dimensions are no problem.

    Attributes
    ----------
    centres
        :math:`\mu`, shape (classes with rows, dimensions).
    whitening
        :math:`W` with :math:`W W^\top = \Sigma^{-1}`, shape (dimensions, dimensions).
    """

    centres: FloatArray
    whitening: FloatArray

    @classmethod
    def fit(cls, z: FloatArray, label: IntArray) -> "ClassDistance":
        """Estimate the centres and the covariance."""
        _, index, count = np.unique(label, return_inverse=True, return_counts=True)
        centres = np.zeros((len(count), z.shape[1]))
        np.add.at(centres, index, z)
        centres /= count[:, None]
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
            out[held] = ClassDistance.fit(z[~held], label[~held])(z[held], "spaces")
        return out

    def __call__(self, z: FloatArray, name: str) -> FloatArray:
        """Return the log distance of each row."""
        if z.shape[1] != len(self.whitening):
            raise InputError(
                f"`spaces[{name!r}]` has {z.shape[1]} dimensions; the fit had "
                f"{len(self.whitening)}."
            )
        white, centres = z @ self.whitening, self.centres @ self.whitening
        squared = np.stack([((white - c) ** 2).sum(axis=1) for c in centres], axis=1)
        return np.log(squared.min(axis=1) + _TINY)
