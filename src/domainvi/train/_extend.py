"""Scaling tables for rows that were not in training: new cohorts, missing genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from domainvi.module import ScalingTables

from ._initialise import log_rows, subsample
from ._tables import MIN_SCALE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData
    from domainvi.module import DomainVAE

MIN_OWN_ROWS = 20
N_ROUNDS = 3


def extended_tables(
    module: DomainVAE, work: PreparedAnnData, domain: NDArray[np.int64]
) -> tuple[ScalingTables, list[str]]:
    """Add rows to a module's tables for domains it does not know, and mask missing genes.

    A new domain with at least 20 rows is standardised by its own mean and standard deviation, in
    rounds with the model's own predictions at the class mix of training where the members were
    fitted that way; one with fewer rows by the mean of the training domains' tables. Members that
    standardise all domains alike keep doing so. A missing gene gets an infinite scale, so that it
    enters as 0, the centre of its cohort.

    Returns
    -------
    The tables, and for each new domain what was done in words.
    """
    n_old, n_new = module.n_domains[0], max(int(domain.max()) + 1, module.n_domains[0])
    tables = ScalingTables(
        (_grown(module.standardiser.loc, n_new), _grown(module.standardiser.scale, n_new)),
        (_grown(module.linear.centre, n_new, 1), _grown(module.linear.scale, n_new, 1)),
    )
    missing = torch.from_numpy(~work.gene_mask).to(tables.network[1].device)
    mask_genes(tables, missing)
    notes = []
    for d in range(n_old, n_new):
        rows = np.flatnonzero(domain == d)
        if len(rows) < MIN_OWN_ROWS or bool(module.standardiser.is_shared):
            notes.append(f"its {len(rows)} rows are standardised by the training cohorts")
            continue
        nothing = np.full(len(rows), -1)
        drawn = rows[subsample(nothing, nothing, 0)]
        u = torch.from_numpy(log_rows(module, work, drawn))
        standardise_alone(module, tables, u.to(missing.device), d, missing)
        notes.append(f"standardised by its own {len(rows)} rows")
    return tables, notes


@torch.no_grad()
def standardise_alone(
    module: DomainVAE, tables: ScalingTables, u: torch.Tensor, d: int, missing: torch.Tensor
) -> None:
    """Fill the rows of domain ``d`` from its own log values ``u``, at the training class mix."""
    weight = torch.ones(len(u), device=u.device)
    own = ~module.linear.is_shared
    unused = torch.isinf(module.linear.scale[:, 0])
    domain = torch.full((len(u),), d, device=u.device)
    for i in range(N_ROUNDS if module.linear.n_members else 1):
        if i:
            out = module.embed_log(u, domain, tables)
            p = torch.exp(module.ensemble(out.network, out.linear, domain))
            ratio = (module.class_mix / p.mean(dim=0).clamp_min(1e-4)).clamp(0.2, 5.0)
            weight = p @ torch.where(module.class_mix > 0, ratio, torch.ones_like(ratio))
        centre, scale = weighted_moments(u, weight)
        for table, values in zip(tables.network, (centre, scale), strict=True):
            table[d] = values
        for table, values in zip(tables.linear, (centre, scale), strict=True):
            table[own, d] = values
        own[-1:] = False  # The twin is un-adapted: it keeps the plain statistics.
        tables.linear[1][:, d][unused] = torch.inf
        mask_genes(tables, missing)


def mask_genes(tables: ScalingTables, missing: torch.Tensor) -> None:
    """Give missing genes an infinite scale."""
    tables.network[1][:, missing] = torch.inf
    tables.linear[1][..., missing] = torch.inf


def weighted_moments(u: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted centre and scale of columns; columns that do not vary get scale 1."""
    w = weight.double() / weight.sum()
    centre = w @ u.double()
    scale = (w @ (u.double() - centre).square()).sqrt()
    return centre.float(), torch.where(scale < MIN_SCALE, 1.0, scale).float()


def _grown(table: torch.Tensor, n: int, dim: int = 0) -> torch.Tensor:
    """Repeat the mean over domains behind a table until it has ``n`` of them."""
    extra = n - table.shape[dim]
    shape = list(table.shape)
    shape[dim] = extra
    return torch.cat([table, table.mean(dim, keepdim=True).expand(shape)], dim=dim).clone()
