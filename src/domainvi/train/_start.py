"""Scaling and starting values of a module, from training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from domainvi.data import MODALITIES, PreparedAnnData, dense_rows
from domainvi.linear import (
    LinearMember,
    blocks,
    components,
    domain_statistics,
    fit_linear_ensemble,
    leading_genes,
    source_statistics,
    standardise,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from domainvi import linear
    from domainvi.linear import LinearEnsembleFit, TrainingRows
    from domainvi.module import DomainVAE, Modality

# Rows that are read at once where only some of their genes are kept.
READ_ROWS = 2_048


def modalities_of(
    module: DomainVAE, prepared: PreparedAnnData
) -> Iterator[tuple[str, PreparedAnnData, NDArray[np.bool_]]]:
    """Yield for each modality its name, the rows with its columns, and which rows have it."""
    blocks = module.modalities.blocks()
    if MODALITIES not in prepared.obsm:
        yield blocks[0][0], prepared, np.ones(prepared.n_obs, dtype=bool)
        return
    has = np.asarray(prepared.obsm[MODALITIES]) > 0
    for i, (name, _, block) in enumerate(blocks):
        part = PreparedAnnData(X=prepared.X[:, block], obs=prepared.obs[[]])
        part.manager, part.gene_mask = prepared.manager, prepared.gene_mask[block]
        part.possible = prepared.possible
        part.hidden = prepared.hidden
        yield name, part, has[:, i]


def set_library(modality: Modality, prepared: PreparedAnnData, rows: NDArray[np.int64]) -> None:
    """Set the scale of size factors and the library size that counts are brought to.

    Size factors may be in any unit (around 1 with DESeq2 and scanpy): their median is brought to
    that of the row sums.
    """
    sums = as_float(np.asarray(prepared.X[rows].sum(axis=1, dtype=np.float64)).ravel())
    median = sums[sums > 0].median() if (sums > 0).any() else torch.ones(())
    factors = prepared.size_factors(rows)
    if factors is not None:
        middle = torch.from_numpy(factors).median()
        modality.input_scale.size_factor_scale.copy_(median / middle)
    modality.input_scale.target_sum.copy_(median)


def log_values(
    modality: Modality,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64],
    genes: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Read some genes of rows as :func:`log_rows` does, few rows at a time with all genes."""
    x = np.empty((len(rows), len(genes)), dtype=np.float32)
    for start in range(0, len(rows), READ_ROWS):
        some = slice(start, start + READ_ROWS)
        x[some] = log_rows(modality, prepared, rows[some])[:, genes]
    return x


def log_rows(
    modality: Modality, prepared: PreparedAnnData, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Read rows of a modality on the log scale of input scaling, dense float32."""
    x = dense_rows(prepared.X, rows)
    factors = prepared.size_factors(rows)
    for some in blocks(len(rows)):
        block = torch.from_numpy(x[some]).to(modality.device)
        factor = None if factors is None else torch.from_numpy(factors[some]).to(modality.device)
        x[some] = modality.input_scale(block, factor)[0].cpu().numpy()
    return x


def initialise(
    modality: Modality,
    rows: TrainingRows,
    scaling: str,
    *,
    more_rows: Callable[[NDArray[np.int64]], TrainingRows] | None = None,
    keep_encoder: bool = False,
) -> LinearEnsembleFit | None:
    """Set scaling, linear members, projection and mean profiles of a modality.

    Linear members and projection use the leading genes only; the network may learn to use others.
    Rows that the caller does not keep are freed before these are fitted. Members are fitted to
    ``more_rows``, read with the genes that it is called with, where there are more.
    With ``keep_encoder`` the projection stays what pretraining made of it.
    """
    genes = leading_genes(rows)
    statistics = source_statistics(rows) if scaling == "global" else domain_statistics(rows)
    if modality.input_scale.counts:
        set_mean_profiles(modality, rows)
    part = rows.with_genes(genes)
    del rows
    fit = None
    if scaling == "mix":
        fit = fit_linear_ensemble(part if more_rows is None else more_rows(genes))
        for whole, own in zip(statistics, fit.statistics, strict=True):
            whole[:, genes] = own
        set_members(modality, fit, genes)
    modality.standardiser.is_shared.fill_(scaling == "global")
    modality.standardiser.set_statistics(*map(torch.from_numpy, statistics))
    if not keep_encoder:
        set_projection(modality, part, statistics, genes)
    set_reference(modality, part, genes)
    return fit


def as_float(values: NDArray[np.float64]) -> torch.Tensor:
    """Copy an array to a tensor in single precision."""
    return torch.as_tensor(values, dtype=torch.float32)


@torch.no_grad()
def set_members(modality: Modality, fit: LinearEnsembleFit, genes: NDArray[np.int64]) -> None:
    """Copy linear members and experts of single rows, on some genes, into a modality on all."""
    k = modality.n_classes
    nobody = LinearMember(fit.unadapted, np.zeros((len(genes), k)), np.zeros(k), 0.0)
    members = {**fit.members, "unadapted": nobody}
    modality.set_linear_members(len(members), len(genes))
    linear = modality.linear
    # Other genes have no effect.
    linear.scale.fill_(torch.inf)
    for i, (name, member) in enumerate(members.items()):
        linear.is_shared[i] = name == "shared"
        linear.centre[i][:, genes] = as_float(member.statistics.centre)
        linear.scale[i][:, genes] = as_float(member.statistics.scale)
        linear.coef[i][genes] = as_float(member.coef)
        linear.intercept[i] = as_float(member.intercept)
        linear.weight[i] = member.weight
    linear.weight /= linear.weight.sum()
    linear.sharpness.fill_(fit.sharpness)
    linear.row_wise_share.fill_(fit.row_wise_share)
    for name, values in {"genes": genes, **vars(fit.row_experts), **vars(fit.classes)}.items():
        getattr(modality.composition, name).copy_(torch.as_tensor(values))


def set_projection(
    modality: Modality,
    part: TrainingRows,
    statistics: linear.ScalingStatistics,
    genes: NDArray[np.int64],
) -> None:
    """Start the encoder's projection at the principal components of the leading genes.

    Parameters
    ----------
    modality
        What is written.
    part
        Rows with these genes alone.
    statistics
        Centre and scale of every gene.
    genes
        The leading genes.
    """
    projection = modality.z_encoder.projection
    s = standardise(part.x, part.domain, statistics.with_genes(genes), 1.0)
    _, basis, mean = components(s, projection.out_features)
    weight = np.zeros((basis.shape[1], projection.in_features), dtype=np.float32)
    weight[:, genes] = basis.T
    centre = np.zeros(projection.in_features, dtype=np.float32)
    centre[genes] = mean
    modality.z_encoder.set_projection(torch.from_numpy(weight), torch.from_numpy(centre))


@torch.no_grad()
def set_reference(modality: Modality, part: TrainingRows, genes: NDArray[np.int64]) -> None:
    """Keep the principal components of rows that no alignment touched; ``part`` has the genes."""
    s = standardise(part.x, part.domain, domain_statistics(part), 1.0)
    _, basis, mean = components(s, modality.reference_basis.shape[1])
    k = basis.shape[1]
    modality.reference_basis[torch.from_numpy(genes), :k] = as_float(basis)
    modality.reference_origin[:k] = as_float(mean @ basis)


def set_mean_profiles(modality: Modality, rows: TrainingRows) -> None:
    """Start the decoder at the mean profile of each domain."""
    for d in np.unique(rows.domain):
        inside = rows.domain == d
        means = [
            np.expm1(rows.x[inside, some], dtype=np.float64).mean(axis=0)
            for some in blocks(rows.x.shape[1])
        ]
        profile = np.concatenate(means)
        share = as_float(profile / max(profile.sum(), 1e-8))
        modality.likelihood.start(int(d), share.to(modality.device))
