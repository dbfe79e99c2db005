"""Erasure: project out of each subspace what is left of the factors of other groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ._encode import encode, registered_values, units_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._module import DisentangledVAE

RIDGE = 1e-6


class Concept(NamedTuple):
    """Levels of a factor to be erased, within strata or in all rows; -1 where missing."""

    code: NDArray[np.int64]
    n_levels: int
    stratum: NDArray[np.int64] | None = None


@torch.no_grad()
def reset_erasure(module: DisentangledVAE) -> None:
    """Leave the latents as the encoder makes them."""
    module.erasure.copy_(torch.eye(module.n_latent))
    module.erasure_centre.zero_()


@torch.inference_mode()
def fit_erasure(module: DisentangledVAE, prepared: PreparedAnnData) -> None:
    """Project out of each subspace what linear probes find of the factors of other groups."""
    values, mean = registered_values(prepared), encode(module, prepared).mean
    codes = [f.codes(values[:, k]) for k, f in enumerate(module.factors)]
    for name in module.sizes:
        at = units_of(module, name)
        own, foreign = [], []
        for k, factor in enumerate(module.factors):
            if factor.group == name:
                own.append(Concept(codes[k], factor.n_levels))
                continue
            shared = module.independence.blocks.condition(name, k)
            stratum = None if shared is None else codes[shared]
            foreign.append(Concept(codes[k], factor.n_levels, stratum))
        matrix, centre = erasure_map(mean[:, at], foreign, own)
        module.erasure[at, at] = torch.from_numpy(matrix).float()
        module.erasure_centre[at] = torch.from_numpy(centre).float()


def erasure_map(
    z: NDArray[np.floating], concepts: Sequence[Concept], own: Sequence[Concept] = ()
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Affine map of a subspace after which no linear probe finds more than chance of the factors.

    An adversary never quite reaches its saddle point, and a probe trained to convergence finds
    what it left. With the covariance :math:`\Sigma` of the latents and, for each factor :math:`k`,
    the left singular vectors :math:`U_k` of the covariance of the whitened latents
    :math:`\Sigma^{-1/2} z` with its levels (each scaled by :math:`p_l^{-1/2}`), both after a
    regression on the levels of the subspace's own factors,

    .. math:: z \leftarrow \bar z + (I - \Sigma^{1/2} Q Q^\top \Sigma^{-1/2}) (z - \bar z)

    where :math:`Q` is a basis of those singular vectors of all factors whose singular value is
    above :math:`\sqrt{\max(r, L_k - 1) / n_k}`, what chance alone would make of it, with :math:`r`
    the variance that the regression leaves. With all of them and no own factors this is LEACE
    (Belrose et al., NeurIPS 2023), the least change after which the covariances are zero. It needs
    no metadata of the rows that it is applied to.

    In any finite sample a subspace's own factors are correlated with foreign ones. Without the
    regression that correlation, times the large signal of the own factors, passes for leakage:
    what is projected out then misses part of the leakage and takes part of the signal. Rows that
    lack an own factor are left out where half of each foreign level stays; else it explains nothing
    of them.

    Returns
    -------
    The matrix to multiply rows with from the right, ``(n_units, n_units)``, and the mean.
    """
    z = z.astype(np.float64)
    mean = z.mean(axis=0)
    covariance = np.cov(z, rowvar=False, bias=True).reshape(z.shape[1], z.shape[1])
    values, vectors = np.linalg.eigh(covariance)
    root = np.sqrt(np.maximum(values, RIDGE * values.max() + 1e-12))
    whiten, colour = vectors / root, vectors * root
    given = np.hstack([np.zeros((len(z), 0)), *(_known_levels(factor) for factor in own)])
    found = [np.zeros((z.shape[1], 0))]
    for concept in concepts:
        strata = np.zeros_like(concept.code) if concept.stratum is None else concept.stratum
        code = _complete(concept, own)
        rows = np.flatnonzero((code >= 0) & (strata >= 0))
        if not len(rows):
            continue
        stratum, levels = strata[rows], np.eye(concept.n_levels)[code[rows]]
        levels /= np.sqrt(np.maximum(levels.mean(axis=0), 1e-12))
        known = _centre(given[rows], stratum)
        rest = _residual(_centre(z[rows] @ whiten, stratum), known)
        u, c, _ = np.linalg.svd(rest.T @ _residual(_centre(levels, stratum), known) / len(rows))
        variance = np.square(rest).sum() / len(rows)
        chance = np.sqrt(max(variance, concept.n_levels - 1) / len(rows))
        found.append(u[:, np.flatnonzero(c > chance)])
    basis, size, _ = np.linalg.svd(np.concatenate(found, axis=1), full_matrices=False)
    basis = basis[:, size > 1e-6]
    # Rows are multiplied from the right, so that the map is the transpose of the formula's.
    return np.eye(z.shape[1]) - whiten @ basis @ basis.T @ colour.T, mean


def _complete(concept: Concept, own: Sequence[Concept]) -> NDArray[np.int64]:
    """Leave out rows that lack own factors, where that leaves half of each level."""
    code = np.where(np.all([o.code >= 0 for o in own], axis=0), concept.code, -1)
    before, after = (
        np.bincount(c[c >= 0], minlength=concept.n_levels) for c in (concept.code, code)
    )
    return code if (2 * after >= before).all() else concept.code


def _known_levels(factor: Concept) -> NDArray[np.float64]:
    """Levels of all rows as one-hot rows, the mean of these where they are missing."""
    levels = np.eye(factor.n_levels)[factor.code]
    known = factor.code >= 0
    levels[~known] = levels[known].mean(axis=0) if known.any() else 0.0
    return levels


def _centre(x: NDArray[np.float64], stratum: NDArray[np.int64]) -> NDArray[np.float64]:
    out = x.copy()
    for s in np.unique(stratum):
        out[stratum == s] -= x[stratum == s].mean(axis=0)
    return out


def _residual(x: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take out of centred columns what a regression on others explains."""
    return x - given @ np.linalg.lstsq(given, x, rcond=None)[0] if given.shape[1] else x
