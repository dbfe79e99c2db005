"""Synthetic cohorts of any size with the sparsity of real ones; only their speed is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_CLASSES, N_DOMAINS = 12, 6


def observations(n_obs: int, rng: np.random.Generator) -> pd.DataFrame:
    """Domains, and labels of which half are hidden: three domains have theirs, three do not."""
    domain = rng.integers(N_DOMAINS, size=n_obs)
    names = np.array([f"class_{c}" for c in range(N_CLASSES)])[rng.integers(N_CLASSES, size=n_obs)]
    label = np.where(domain < N_DOMAINS // 2, names, "Unknown")
    return pd.DataFrame(
        {"cohort": pd.Categorical(domain.astype(str)), "label": pd.Categorical(label)},
        index=np.arange(n_obs).astype(str),
    )


def bulk(n_obs: int, n_genes: int, seed: int = 0) -> ad.AnnData:
    """Dense counts as of bulk RNA-seq: mean about 1,000, 1 % zeros."""
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.normal(6.2, 1.0, n_genes)).astype(np.float32)
    x = np.empty((n_obs, n_genes), dtype=np.float32)
    for start in range(0, n_obs, 1000):
        part = x[start : start + 1000]
        part[:] = rng.poisson(mean * rng.gamma(2.0, 0.5, part.shape).astype(np.float32))
    return ad.AnnData(x, obs=observations(n_obs, rng))


def sparse_block(
    n_rows: int, rate: NDArray[np.float64], rng: np.random.Generator
) -> sparse.spmatrix:
    """Rows of single-cell-like counts as CSR, float32."""
    depth = rng.gamma(4.0, 0.25, (n_rows, 1)).astype(np.float32)
    mean = (
        depth
        * rate.astype(np.float32)
        * rng.standard_exponential((n_rows, len(rate)), dtype=np.float32)
    )
    return sparse.csr_matrix(rng.poisson(mean).astype(np.float32))


def gene_rates(n_genes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Mean counts that leave about 8 % of the entries above 0, mean 2.2 there."""
    return np.exp(rng.normal(-3.6, 1.9, n_genes))


def single_cell(n_obs: int, n_genes: int, seed: int = 0) -> ad.AnnData:
    """CSR counts as of single-cell RNA-seq, about 8 % of the entries above 0."""
    rng = np.random.default_rng(seed)
    rate = gene_rates(n_genes, rng)
    blocks = [
        sparse_block(min(10_000, n_obs - start), rate, rng) for start in range(0, n_obs, 10_000)
    ]
    return ad.AnnData(sparse.vstack(blocks, format="csr"), obs=observations(n_obs, rng))


def repeated(n_obs: int, n_genes: int, seed: int = 0, unique: int = 20_000) -> ad.AnnData:
    """As :func:`single_cell`, with at most ``unique`` different rows: quick to make."""
    part = single_cell(min(n_obs, unique), n_genes, seed).X
    n_times = -(-n_obs // part.shape[0])
    x = sparse.vstack([part] * n_times, format="csr")[:n_obs]
    return ad.AnnData(x, obs=observations(n_obs, np.random.default_rng(seed)))
