"""What is set from the training rows before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from domainvi.data import dense_rows

from ._anchor import Anchor, fit_anchor
from ._tables import (
    Table,
    TrainingRows,
    blocks,
    domain_table,
    source_table,
    standardise,
)
from ._views import components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData
    from domainvi.module import DomainVAE

MAX_ROWS = 6000
N_TOP_GENES = 2000
KEPT_ROWS = 20
# With fewer unlabelled rows than this share, a domain's labels say which classes it has.
UNLABELLED_SHARE = 0.05


def size_factors(work: PreparedAnnData, rows: NDArray[np.int64]) -> torch.Tensor | None:
    """Look up the size factors of rows, ``(n_rows, 1)``; ``None`` when there are none."""
    if REGISTRY_KEYS.SIZE_FACTOR_KEY not in work.manager.data_registry:
        return None
    factors = np.asarray(work.manager.get_from_registry(REGISTRY_KEYS.SIZE_FACTOR_KEY))[rows]
    return torch.from_numpy(factors.astype(np.float32).reshape(-1, 1))


def set_library(module: DomainVAE, work: PreparedAnnData, rows: NDArray[np.int64]) -> None:
    """Set the scale of size factors and the library size that counts are brought to.

    Size factors may be in any unit (around 1 with DESeq2 and scanpy): their median is brought to
    that of the row sums.
    """
    sums = torch.as_tensor(np.asarray(work.X[rows].sum(axis=1, dtype=np.float64)).ravel()).float()
    median = sums[sums > 0].median() if (sums > 0).any() else torch.ones(())
    factors = size_factors(work, rows)
    if factors is not None:
        module.size_factor_scale.copy_(median / factors.median())
    module.target_sum.copy_(median)


def log_rows(
    module: DomainVAE, work: PreparedAnnData, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Read rows on the log scale on which the input scaling works, dense float32."""
    x = dense_rows(work.X, rows)
    factors = size_factors(work, rows)
    for some in blocks(len(rows)):
        block = torch.from_numpy(x[some]).to(module.device)
        factor = None if factors is None else factors[some].to(module.device)
        x[some] = module.log_values(block, module.library_size(block, factor)).cpu().numpy()
    return x


def subsample(
    domain: NDArray[np.int64], label: NDArray[np.int64], seed: int, limit: int = MAX_ROWS
) -> NDArray[np.int64]:
    """Draw about ``limit`` rows, with the classes of each domain in the shares that they have.

    Small strata keep up to 20 rows, as far as the limit allows and one at least, so that neither
    a domain nor the few labelled rows of one get lost.

    Parameters
    ----------
    domain, label
        Codes, shape ``(n_rows,)``; label -1 is unlabelled. A stratum is one label in one domain.
    seed
        Of the draw.
    limit
        Rows to aim at.

    Returns
    -------
    Sorted row numbers.
    """
    if len(domain) <= limit:
        return np.arange(len(domain))
    rng = np.random.default_rng(seed)
    _, stratum, count = np.unique(
        np.stack([domain, label]), axis=1, return_inverse=True, return_counts=True
    )
    stratum = stratum.ravel()
    least = max(1, min(KEPT_ROWS, limit // len(count)))
    quota = np.minimum(count, np.maximum(least, np.round(count * (limit / len(domain)))))
    order = rng.permutation(len(domain))
    order = order[np.argsort(stratum[order], kind="stable")]
    rank = np.arange(len(domain)) - np.repeat(np.cumsum(count) - count, count)
    return np.sort(order[rank < np.repeat(quota, count)])


def class_support(
    domain: NDArray[np.int64], label: NDArray[np.int64], n_domains: int, n_classes: int
) -> NDArray[np.bool_]:
    """Which classes a domain has, ``(n_domains, n_classes)``.

    A domain of which more than 5 % is unlabelled may have any.
    """
    support = np.zeros((n_domains, n_classes), dtype=bool)
    known = label >= 0
    support[domain[known], label[known]] = True
    unlabelled = np.bincount(domain[~known], minlength=n_domains)
    n = np.bincount(domain, minlength=n_domains)
    support[unlabelled > UNLABELLED_SHARE * n] = True
    return support


def source_domains(
    domain: NDArray[np.int64], label: NDArray[np.int64], n_domains: int
) -> NDArray[np.bool_]:
    """Which domains are sources: those with labels on at least half of their rows.

    When no domain reaches half, the one with the most labelled rows is the source.
    """
    n = np.bincount(domain, minlength=n_domains)
    labelled = np.bincount(domain[label >= 0], minlength=n_domains)
    is_source = labelled * 2 >= np.maximum(n, 1)
    if not is_source.any():
        is_source[labelled.argmax()] = True
    return is_source


def leading_genes(rows: TrainingRows, n_genes: int | None = None) -> NDArray[np.int64]:
    """Find the genes with the largest mean variance within domains, 2,000 of them, in order."""
    variance = np.zeros(rows.x.shape[1])
    for some in blocks(len(variance)):
        within = [rows.x[rows.domain == d, some].var(axis=0) for d in np.unique(rows.domain)]
        variance[some] = np.mean(within, axis=0)
    return np.sort(np.argsort(-variance, kind="stable")[: n_genes or N_TOP_GENES])


def initialise(
    module: DomainVAE, rows: TrainingRows, scaling: str, *, keep_encoder: bool = False
) -> Anchor | None:
    """Set scaling, linear members, projection and baseline of a module.

    Linear members and projection use the leading genes only; the network may learn to use others.
    Rows that the caller does not keep are freed before these are fitted.
    With ``keep_encoder`` the projection stays what pretraining made of it.
    """
    genes = leading_genes(rows)
    table = source_table(rows) if scaling == "global" else domain_table(rows)
    module.alignment.is_source.copy_(torch.from_numpy(rows.is_source))
    if module.counts:
        set_baseline(module, rows)
    part = rows.with_genes(genes)
    del rows
    anchor = None
    if scaling == "mix":
        anchor = fit_anchor(part)
        for whole, own in zip(table, anchor.table, strict=True):
            whole[:, genes] = own
        set_members(module, anchor, genes)
    module.standardiser.is_shared.fill_(scaling == "global")
    module.standardiser.set_tables(*(torch.as_tensor(t, dtype=torch.float32) for t in table))
    if not keep_encoder:
        set_projection(module, part, table, genes)
    set_reference(module, part, genes)
    return anchor


@torch.no_grad()
def set_members(module: DomainVAE, anchor: Anchor, genes: NDArray[np.int64]) -> None:
    """Copy the linear members of an anchor and its twin, on some genes, into a module on all."""
    members = {**anchor.members, "twin": anchor.twin}
    module.set_linear_members(len(members))
    linear = module.linear
    # Other genes get no say.
    linear.scale.fill_(torch.inf)
    for i, (name, member) in enumerate(members.items()):
        linear.is_shared[i] = name == "shared"
        linear.centre[i][:, genes] = torch.as_tensor(member.table[0], dtype=torch.float32)
        linear.scale[i][:, genes] = torch.as_tensor(member.table[1], dtype=torch.float32)
        linear.coef[i][genes] = torch.as_tensor(member.coef, dtype=torch.float32)
        linear.intercept[i] = torch.as_tensor(member.intercept, dtype=torch.float32)
        linear.weight[i] = member.weight
    linear.weight[-1] = 0.0
    linear.weight /= linear.weight.sum()
    linear.sharpness.fill_(anchor.sharpness)
    linear.doubt.fill_(anchor.doubt)
    module.class_mix.copy_(torch.as_tensor(anchor.mix))
    module.log_prior.copy_(torch.as_tensor(anchor.log_prior))


def set_projection(
    module: DomainVAE, part: TrainingRows, table: Table, genes: NDArray[np.int64]
) -> None:
    """Start the encoder's projection at the principal components of the leading genes.

    Parameters
    ----------
    module
        What is written.
    part
        Rows with these genes alone.
    table
        Standardisation of every gene.
    genes
        The leading genes.
    """
    projection = module.z_encoder.projection
    own = (table[0][:, genes], table[1][:, genes])
    s = standardise(part.x, part.domain, own, 1.0)
    _, basis, mean = components(s, projection.out_features, overwrite=True)
    weight = np.zeros((basis.shape[1], projection.in_features), dtype=np.float32)
    weight[:, genes] = basis.T
    centre = np.zeros(projection.in_features, dtype=np.float32)
    centre[genes] = mean
    module.z_encoder.set_projection(torch.from_numpy(weight), torch.from_numpy(centre))


@torch.no_grad()
def set_reference(module: DomainVAE, part: TrainingRows, genes: NDArray[np.int64]) -> None:
    """Keep the principal components of rows that no alignment touched; ``part`` has the genes."""
    s = standardise(part.x, part.domain, domain_table(part), 1.0)
    _, basis, mean = components(s, module.reference_basis.shape[1], overwrite=True)
    k = basis.shape[1]
    module.reference_basis[torch.from_numpy(genes), :k] = torch.as_tensor(
        basis, dtype=torch.float32
    )
    module.reference_origin[:k] = torch.as_tensor(mean @ basis, dtype=torch.float32)


def set_baseline(module: DomainVAE, rows: TrainingRows) -> None:
    """Start the decoder's baseline at the mean profile of each domain."""
    for d in np.unique(rows.domain):
        inside = rows.domain == d
        means = [
            np.expm1(rows.x[inside, some], dtype=np.float64).mean(axis=0)
            for some in blocks(rows.x.shape[1])
        ]
        profile = np.concatenate(means)
        share = torch.as_tensor(profile / max(profile.sum(), 1e-8), dtype=torch.float32)
        module.likelihood.start(int(d), share.to(module.device))
