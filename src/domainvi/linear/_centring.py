"""Class-conditional centring: what the adversary leaves of the domain in the latents, removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray

# A domain with fewer rows of a class than this has nothing to be centred by.
MIN_ROWS = 5
RIDGE = 1e-3


@dataclass(frozen=True)
class Centring:
    r"""Shift of each class in each domain, taken off the latents.

    A saddle point is never quite reached: a fresh probe finds in the posterior means what the last
    adversary did not. With class probabilities :math:`p`, the mean :math:`\mu_{dk}` of the rows
    of domain :math:`d` whose likeliest class is :math:`k` and the mean :math:`\mu_k` of these over
    domains,

    .. math:: z_i \leftarrow z_i - \sum_k p_{ik}\, a_{dk} (\mu_{dk} - \mu_k), \qquad
              a_{dk} = \max\Bigl(0,\ 1 - \sqrt{L (1 - 1/D) / n_{dk}} \big/
                       \lVert \mu_{dk} - \mu_k \rVert_{\Sigma^{-1}}\Bigr),

    where :math:`\Sigma` is the covariance within classes and domains, :math:`L` the number of
    latents, :math:`n_{dk}` the number of rows, and :math:`D` the largest number of
    domains that have five rows or more of one class. A domain beyond the fitted ones has no part in
    :math:`\mu_k`: for it the term :math:`1/D` is left out. The factor :math:`a` leaves a difference
    of the length that chance alone would make, so that small groups are not over-corrected. It is
    the correction step of Harmony (Korsunsky et al., 2019) with classes for clusters, and a class
    that one domain alone has is left where it is. Means by probabilities would be drawn towards
    other classes where these are many: where the class mix differs, that looks like a shift.

    Parameters
    ----------
    means
        :math:`\mu_k`, shape ``(n_classes, n_latent)``.
    precision
        :math:`\Sigma^{-1}`, shape ``(n_latent, n_latent)``.
    shift
        :math:`a_{dk} (\mu_{dk} - \mu_k)`, shape ``(n_domains, n_classes, n_latent)``.
    """

    means: FloatArray
    precision: FloatArray
    shift: FloatArray

    def apply(
        self, z: NDArray[np.float32], log_p: NDArray[np.floating], domain: IntArray
    ) -> NDArray[np.float32]:
        """Return centred latents; domains beyond the fitted ones are centred by their own rows.

        Parameters
        ----------
        z
            Posterior means, shape ``(n_rows, n_latent)``.
        log_p
            Logarithms of the class probabilities, shape ``(n_rows, n_classes)``.
        domain
            Domain codes, shape ``(n_rows,)``.
        """
        out = np.empty(z.shape, dtype=np.float32)
        for d in np.unique(domain):
            rows = np.flatnonzero(domain == d)
            known = d < len(self.shift)
            shift = self.shift[d] if known else self.shift_by(*class_sums(z[rows], log_p[rows]))
            moved = np.exp(log_p.take(rows, axis=0)) @ shift.astype(np.float32)
            out[rows] = np.subtract(z.take(rows, axis=0), moved, out=moved)
        return out

    def shift_by(self, count: IntArray, total: FloatArray, own_share: float = 0.0) -> FloatArray:
        """Shift of one domain from the class means, of which its rows made ``own_share``.

        ``count`` and ``total`` are those of :func:`class_sums`.
        """
        shift = np.zeros_like(self.means)
        for k in np.flatnonzero(np.isfinite(self.means[:, 0]) & (count >= MIN_ROWS)):
            difference = total[k] / count[k] - self.means[k]
            length = np.sqrt(max(difference @ self.precision @ difference, 1e-12))
            chance = np.sqrt(len(difference) * (1 - own_share) / count[k])
            shift[k] = max(0.0, 1 - chance / length) * difference
        return shift


def class_sums(z: NDArray[np.float32], p: NDArray[np.floating]) -> tuple[IntArray, FloatArray]:
    """Count the rows of each likeliest class, and sum their latents; both add up over parts.

    Examples
    --------
    >>> from domainvi.linear import class_sums
    >>> count, total = class_sums(np.ones((3, 1), np.float32), np.eye(2)[[0, 1, 1]])
    >>> count.tolist(), total.tolist()
    ([1, 2], [[1.0], [2.0]])
    """
    code = p.argmax(axis=1)
    total = [z[code == k].sum(axis=0, dtype=np.float64) for k in range(p.shape[1])]
    return np.bincount(code, minlength=p.shape[1]), np.stack(total)


def fit_centring(
    z: NDArray[np.float32], p: FloatArray, domain: IntArray, n_domains: int
) -> Centring:
    """Estimate the shifts from the rows of training; ``p`` are class probabilities."""
    n_latent, n_classes = z.shape[1], p.shape[1]
    group = domain * n_classes + p.argmax(axis=1)
    member = csr_array(
        (np.ones(len(z)), (group, np.arange(len(z)))), (n_domains * n_classes, len(z))
    )
    mass = np.bincount(group, minlength=n_domains * n_classes).reshape(n_domains, n_classes)
    sums = (member @ z.astype(np.float64)).reshape(n_domains, n_classes, n_latent)
    group_means = sums / np.maximum(mass, 1e-8)[..., None]
    present = mass >= MIN_ROWS
    counted = present[..., None]
    means = (group_means * counted).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
    # A class of one domain has no common mean to be centred at.
    means[present.sum(axis=0) < 2] = np.nan
    residual = z - group_means.reshape(-1, n_latent)[group]
    covariance = residual.T @ residual / len(z)
    covariance += RIDGE * np.diag(covariance.diagonal() + 1e-8)
    start = Centring(means, np.linalg.inv(covariance), np.zeros((0, n_classes, n_latent)))
    shift = np.zeros((n_domains, n_classes, n_latent))
    for d in np.unique(domain):
        own_share = 1 / max(int(counted.sum(axis=0).max()), 1)
        shift[d] = start.shift_by(mass[d], sums[d], own_share)
    return Centring(means, start.precision, shift)
