"""Scaling of cohorts that were not in training, by what their rows say of their composition."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import softmax

from domainvi.data import ScalingNote
from domainvi.linear import (
    ClassMoments,
    RowExperts,
    consensus,
    moments,
    safe_scale,
    standardise,
    subsample,
)
from domainvi.linear import ScalingStatistics as LinearStatistics
from domainvi.module import ScalingStatistics

from ._start import log_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi._checks import FloatArray
    from domainvi.data import PreparedAnnData
    from domainvi.module import DomainVAE, Modality
    from domainvi.nn import LinearEnsemble

# With fewer rows than this, a cohort's own mean and deviation are not used as they are.
MIN_OWN_ROWS = 20


def extend_statistics(
    module: DomainVAE, name: str, prepared: PreparedAnnData, domain: NDArray[np.int64]
) -> tuple[ScalingStatistics, list[ScalingNote]]:
    """Extend a modality's statistics to domains it does not know, and mask missing genes.

    With linear members, a new domain of any size is standardised by the shift that its composition
    leaves (:meth:`~domainvi.linear.ClassMoments.standardise_to`); the composition is what members
    and experts of single rows say together, as in training. Without them, one with at least 20 rows
    is standardised by its own mean and standard deviation, and one with fewer by the mean of the
    training domains' statistics. Members that standardise all domains alike keep doing so. A
    missing gene gets an infinite scale, so that it enters as 0, the centre of its cohort.

    Returns
    -------
    The statistics, and for each new domain what was done.
    """
    modality = module.modalities.parts[name]
    n_old, n_new = modality.n_domains, max(int(domain.max()) + 1, modality.n_domains)
    network, members = modality.standardiser, modality.linear
    statistics = ScalingStatistics(
        (_expand(network.loc, n_new), _expand(network.scale, n_new)),
        (_expand(members.centre, n_new, 1), _expand(members.scale, n_new, 1)),
    )
    notes = []
    for d in range(n_old, n_new):
        rows = np.flatnonzero(domain == d)
        if bool(network.is_shared) or not len(rows):
            said = f"its {len(rows)} rows are standardised by the training cohorts"
            notes.append(ScalingNote(said))
            continue
        nothing = np.full(len(rows), -1)
        drawn = rows[subsample(nothing, nothing, 0)]
        u = log_rows(modality, prepared, drawn)
        notes.append(standardise_alone(modality, statistics, u, d, prepared.gene_mask))
    missing = torch.from_numpy(~prepared.gene_mask).to(network.loc.device)
    statistics.network[1][:, missing] = torch.inf
    statistics.linear[1][..., missing] = torch.inf
    return statistics, notes


def standardise_alone(
    modality: Modality,
    statistics: ScalingStatistics,
    u: NDArray[np.float32],
    d: int,
    measured: NDArray[np.bool_],
) -> ScalingNote:
    """Fill in domain ``d`` from log values ``u``; say what was done."""
    n, linear = len(u), modality.linear
    unused = torch.isinf(linear.scale[:, 0])
    own = moments(u)
    if n >= MIN_OWN_ROWS:
        for old, values in zip(statistics.network, (own[0], safe_scale(own[1])), strict=True):
            old[d] = torch.as_tensor(values)
        for members, network in zip(statistics.linear, statistics.network, strict=True):
            members[-1:, d] = network[d]
    elif not linear.n_members:
        return ScalingNote(f"its {n} rows are standardised by the training cohorts")
    if not linear.n_members:
        return ScalingNote(f"standardised by its own {n} rows")
    genes = modality.composition.genes.cpu().numpy()
    centre, scale, share = by_composition(modality, u[:, genes], measured[genes])
    adapted = ~linear.is_shared
    adapted[-1] = False
    for k, values in enumerate((centre, safe_scale(scale))):
        column = torch.as_tensor(values, dtype=torch.float32, device=modality.device)
        statistics.network[k][d, genes] = column
        for m in torch.nonzero(adapted).ravel():
            statistics.linear[k][m, d, genes] = column
    statistics.linear[1][:, d][unused] = torch.inf
    return ScalingNote(
        f"its {n} rows are standardised by the shift that their composition leaves, of which "
        f"experts of single rows had {share:.0%} of the vote",
        share,
    )


def by_composition(
    modality: Modality, x: NDArray[np.float32], measured: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, float]:
    """Centre and scale of a new cohort on the leading genes, and the share of row-wise experts."""
    arrays = {name: values.cpu().numpy() for name, values in modality.composition.named_buffers()}
    experts = RowExperts(**{f.name: arrays[f.name] for f in fields(RowExperts)})
    classes = ClassMoments(**{f.name: arrays[f.name] for f in fields(ClassMoments)})
    members = [
        Member(modality.linear, m, arrays["genes"]) for m in range(modality.linear.n_members)
    ]
    adapted = [m for m in members[:-1] if not m.is_shared]
    own = [m.probabilities(x, *moments(x), measured) for m in adapted]
    by_source = [m for m in members[:-1] if m.is_shared] or adapted
    shared = np.mean([m.probabilities(x, m.centre, m.scale, measured) for m in by_source], axis=0)
    by_row = experts.with_genes(measured).probabilities(x)
    sharpness = float(modality.linear.sharpness)
    probs, share = consensus(own, shared, np.mean(own, axis=0), *by_row, sharpness)
    return *classes.standardise_to(x, probs), share


class Member:
    """A linear member on the leading genes, with the mean of its training domains' statistics."""

    def __init__(self, linear: LinearEnsemble, m: int, genes: NDArray[np.int64]) -> None:
        self.is_shared = bool(linear.is_shared[m])
        self.centre = linear.centre[m][:, genes].mean(dim=0).cpu().numpy()
        self.scale = linear.scale[m][:, genes].mean(dim=0).cpu().numpy()
        self.coef = linear.coef[m][genes].cpu().numpy()
        self.intercept = linear.intercept[m].cpu().numpy()

    def probabilities(
        self, x: NDArray[np.float32], centre: FloatArray, scale: FloatArray, used: NDArray[np.bool_]
    ) -> FloatArray:
        """Classify rows with some genes by a standardisation, ``(n_rows, n_classes)``."""
        statistics = LinearStatistics(centre[None], np.where(used, safe_scale(scale), np.inf)[None])
        s = standardise(x, np.zeros(len(x), dtype=np.int64), statistics)
        return np.asarray(softmax(s @ self.coef + self.intercept, axis=1))


def _expand(values: torch.Tensor, n: int, dim: int = 0) -> torch.Tensor:
    """Repeat the mean over domains behind statistics until it has ``n`` of them."""
    extra = n - values.shape[dim]
    shape = list(values.shape)
    shape[dim] = extra
    return torch.cat([values, values.mean(dim, keepdim=True).expand(shape)], dim=dim).clone()
