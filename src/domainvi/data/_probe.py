"""How well the domain is told from expression values, before any model."""

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from domainvi.errors import InputError
from domainvi.metrics import DomainProbe, domain_probe

_COMPONENTS = 50
# A domain with fewer rows gives the probe nothing to learn from in five folds.
_MIN_PROBE_ROWS = 10


def probe_components(
    features: npt.ArrayLike,
    domain: npt.NDArray[np.int64],
    label: npt.NDArray[np.int64],
    groups: npt.ArrayLike | None = None,
    seed: int = 0,
) -> DomainProbe | None:
    """Probe the principal components of standardised features for the domain.

    Parameters
    ----------
    features
        Shape (rows, features).
    domain
        Domain codes, shape (rows,).
    label
        Class codes, -1 for none, shape (rows,).
    groups
        Units that must not be on both sides of a fold.
    seed
        Seed of components and folds.

    Returns
    -------
    DomainProbe or None
        None when fewer than two domains have ten rows.

    Raises
    ------
    InputError
        When the features are not finite, or not of this many rows.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or len(x) != len(domain) or not np.isfinite(x).all():
        raise InputError(
            f"`features` must be finite and of shape ({len(domain)}, features); got {x.shape}."
        )
    rows = np.bincount(domain)[domain] >= _MIN_PROBE_ROWS
    if len(np.unique(domain[rows])) < 2:
        return None
    z = StandardScaler().fit_transform(x[rows])
    n_components = min(_COMPONENTS, *z.shape)
    z = PCA(n_components, svd_solver="randomized", random_state=seed).fit_transform(z)
    part = None if groups is None else np.asarray(groups)[rows]
    return domain_probe(z, domain[rows], label[rows], part, seed=seed)
