"""A planted atlas: counts of many classes with a long tail, in cohorts of different class mixes."""

from __future__ import annotations

import dataclasses
from itertools import islice
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK = 2_000
# Blocks that are written at once.
WRITTEN = 25


@dataclasses.dataclass(frozen=True)
class Recipe:
    r"""How rows are drawn.

    The log-rate of a gene is the sum of a base level :math:`N(0, 1.5^2)`, of what its lineage adds
    (a tenth of the genes, standard deviation 1; there are :math:`\sqrt K` lineages), of what its
    class adds (a fiftieth of the genes, ``class_effect``), of a cohort's shift of every gene
    (``cohort_effect``) and of eight programmes that no column names (``program_effect``). Library
    sizes are log-normal around ``depth`` counts, and counts are Poisson. Class :math:`k` of
    :math:`K` has a share of :math:`k^{-t}`, for the exponent ``tail``, and each cohort multiplies
    the shares by a gamma variable of shape ``mix``, so that many classes are missing in a cohort
    or frequent in it alone. Every other cohort is unlabelled.
    """

    class_effect: float = 1.9
    spread: float = 0.95
    cohort_effect: float = 0.4
    program_effect: float = 0.3
    depth: float = 2_000.0
    tail: float = 1.4
    mix: float = 0.5


@dataclasses.dataclass(frozen=True)
class Size:
    """Sizes of an atlas, and its seed."""

    rows: int
    classes: int
    cohorts: int
    genes: int = 2_000
    seed: int = 0


def planted_atlas(size: Size, recipe: Recipe | None = None) -> ad.AnnData:
    """Draw an atlas.

    ``obs`` has ``cohort``, ``label`` (``Unknown`` where hidden), ``truth``, and the ``lineage`` of
    the true class.
    """
    obs, var, blocks = drawn(size, recipe or Recipe())
    return ad.AnnData(sparse.vstack(list(blocks), format="csr"), obs=obs, var=var)


def write_atlas(path: Path, size: Size, recipe: Recipe | None = None) -> None:
    """Write what :func:`planted_atlas` draws as h5ad; memory does not grow with the counts."""
    obs, var, blocks = drawn(size, recipe or Recipe())
    first = next(blocks)
    ad.AnnData(obs=obs, var=var).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        ad.io.write_elem(file, "X", first)
        stored = ad.io.sparse_dataset(file["X"])
        while some := list(islice(blocks, WRITTEN)):
            stored.append(sparse.vstack(some, format="csr"))


def drawn(
    size: Size, recipe: Recipe
) -> tuple[pd.DataFrame, pd.DataFrame, Iterator[sparse.csr_matrix]]:
    """Columns of rows and of genes, and the counts of :data:`BLOCK` rows at a time."""
    rng = np.random.default_rng(size.seed)
    k, g = size.classes, size.genes
    lineage = rng.integers(max(2, round(np.sqrt(k))), size=k)
    base = rng.normal(scale=1.5, size=g)
    of_lineage = sparse_effects(rng, lineage.max() + 1, g, 0.1, 1.0)
    strength = recipe.class_effect * rng.uniform(1 - recipe.spread, 1 + recipe.spread, size=(k, 1))
    profile = base + of_lineage[lineage] + strength * sparse_effects(rng, k, g, 0.02, 1.0)
    shift = rng.normal(scale=recipe.cohort_effect, size=(size.cohorts, g))
    programs = rng.normal(scale=recipe.program_effect, size=(8, g))
    cohort = np.sort(rng.integers(size.cohorts, size=size.rows))
    share = np.arange(1.0, k + 1) ** -recipe.tail
    share = share * rng.gamma(recipe.mix, size=(size.cohorts, k))
    truth = draw_classes(rng, share / share.sum(axis=1, keepdims=True), cohort)
    names = np.array([f"t{i:03d}" for i in range(k)])[truth]
    obs = pd.DataFrame(
        {
            "cohort": pd.Categorical([f"c{i:02d}" for i in cohort]),
            "label": pd.Categorical(np.where(cohort % 2 == 0, names, "Unknown")),
            "truth": pd.Categorical(names),
            "lineage": pd.Categorical([f"l{i}" for i in lineage[truth]]),
        },
        index=[f"row_{i}" for i in range(size.rows)],
    )
    var = pd.DataFrame(index=[f"gene_{i}" for i in range(g)])
    blocks = (
        draw_counts(rng, profile[truth[b]] + shift[cohort[b]], programs, recipe.depth)
        for b in row_blocks(size.rows)
    )
    return obs, var, blocks


def row_blocks(n: int) -> Iterator[slice]:
    """Slices of rows that are drawn at once."""
    return (slice(start, start + BLOCK) for start in range(0, n, BLOCK))


def sparse_effects(
    rng: np.random.Generator, n: int, genes: int, share: float, scale: float
) -> NDArray[np.float64]:
    """Draw normal effects on a share of the genes."""
    return rng.normal(scale=scale, size=(n, genes)) * (rng.random((n, genes)) < share)


def draw_classes(
    rng: np.random.Generator, share: NDArray[np.float64], cohort: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Draw the class of each row by the shares of its cohort."""
    draws, out = rng.random(len(cohort)), np.empty(len(cohort), dtype=np.int64)
    for c, own in enumerate(share):
        inside = cohort == c
        out[inside] = np.searchsorted(np.cumsum(own)[:-1], draws[inside])
    return out


def draw_counts(
    rng: np.random.Generator,
    log_rate: NDArray[np.float64],
    programs: NDArray[np.float64],
    depth: float,
) -> sparse.csr_matrix:
    """Draw counts of some rows."""
    rate = np.exp(log_rate + rng.normal(size=(len(log_rate), len(programs))) @ programs)
    library = depth * np.exp(rng.normal(scale=0.4, size=(len(rate), 1)))
    counts = rng.poisson(rate * (library / rate.sum(axis=1, keepdims=True)))
    return sparse.csr_matrix(counts.astype(np.float32))
