"""Results do not depend on how the same rows are handed over."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

import domainvi as dv

from .conftest import QUIET

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"n_latent": 4, "n_hidden": 8, "n_components": 8}
# Training is the same to the bit. What a row then gets may differ in the last one on some machines,
# with the place that the row has in its batch.
TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}


def base(values: str) -> ad.AnnData:
    adata = dv.data.synthetic_cohorts(
        n_obs=120, n_genes=60, n_classes=3, domain_effect=2.0, values=values, seed=5
    )
    adata.obs_names = [f"s{i * 7919 % 120}" for i in range(120)]
    adata.obs["label"] = adata.obs["label"].astype(str)
    return adata


def results(adata: ad.AnnData, layer: str | None = None) -> dict[str, pd.DataFrame]:
    """Train, and return latents and probabilities, rows and classes by name."""
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label", layer=layer)
    model = dv.DomainVI(adata, **SMALL)
    model.train(max_epochs=1, batch_size=32, **QUIET)
    z = pd.DataFrame(model.get_latent_representation(), index=adata.obs_names)
    p = model.predict(soft=True)
    return {"latent": z.sort_index(), "probability": p.sort_index().sort_index(axis=1)}


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, pd.DataFrame]]:
    return {values: results(base(values)) for values in ("counts", "log")}


def with_duplicates(x: np.ndarray) -> sparse.csr_matrix:
    """Every value but zero in two entries, and the last gene of a row first."""
    genes = [np.flatnonzero(row)[::-1].repeat(2) for row in x]
    starts = np.cumsum([0, *map(len, genes)])
    values = np.concatenate([row[own] for row, own in zip(x, genes, strict=True)])
    half = (values // 2 if x.dtype.kind in "iu" else values / 2).astype(x.dtype)
    values[::2] -= half[::2]
    values[1::2] = half[1::2]
    return sparse.csr_matrix((values, np.concatenate(genes), starts), x.shape)


FORMATS = {
    "dense": np.asarray,
    "fortran": np.asfortranarray,
    "csr": sparse.csr_matrix,
    "csr with duplicates": with_duplicates,
    "csc with duplicates": lambda x: with_duplicates(x.T).T,
    "csc": sparse.csc_matrix,
    "csr array": sparse.csr_array,
    "csc array": sparse.csc_array,
}
DTYPES = {
    "counts": ("float32", "float64", "int32", "int64", "uint16"),
    "log": ("float32", "float64"),
}


@st.composite
def handovers(draw: st.DrawFn) -> dict[str, Any]:
    values = draw(st.sampled_from(("counts", "log")))
    return {
        "values": values,
        "dtype": draw(st.sampled_from(DTYPES[values])),
        "form": draw(st.sampled_from(sorted(FORMATS))),
        "order": draw(st.sampled_from(("same", "reversed", "shuffled"))),
        "seed": draw(st.integers(0, 2**16)),
        "names": draw(st.sampled_from(("text", "category", "category in another order"))),
        "view": draw(st.booleans()),
        "backed": draw(st.booleans()),
        "layer": draw(st.booleans()),
    }


def hand_over(
    values: str,
    dtype: str,
    form: str,
    order: str,
    seed: int,
    names: str,
    *,
    view: bool,
    layer: bool,
    backed: Path | None,
) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    adata = base(values)
    rows = {"same": np.arange(120), "reversed": np.arange(120)[::-1]}.get(order)
    adata = adata[rng.permutation(120) if rows is None else rows].copy()
    adata.X = FORMATS[form](np.asarray(adata.X).astype(dtype))
    for key in ("domain", "label") if names != "text" else ():
        categories = sorted(set(adata.obs[key].astype(str)))
        if names == "category in another order":
            categories = rng.permutation(categories).tolist()
        adata.obs[key] = pd.Categorical(adata.obs[key].astype(str), categories=categories)
    if layer:
        adata.layers["values"], adata.X = adata.X, np.zeros(adata.shape, dtype=np.float32)
    if view:
        extra = ad.concat([adata, adata[:3]], index_unique="-")
        extra.obs_names = [*adata.obs_names, "x", "y", "z"]
        adata = extra[:120]
    if backed is not None:
        adata.copy().write_h5ad(backed)
        adata = ad.read_h5ad(backed, backed="r")
    return adata


counter = itertools.count()


def check(expected: dict, tmp_path: Path, handover: dict[str, Any]) -> None:
    path = tmp_path / f"{next(counter)}.h5ad" if handover.pop("backed") else None
    adata = hand_over(**handover, backed=path)
    found = results(adata, "values" if handover["layer"] else None)
    for name, table in expected[handover["values"]].items():
        pd.testing.assert_frame_equal(found[name], table, check_dtype=False, **TOLERANCE)


QUICK = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.mark.parametrize("form", ["csr with duplicates", "csc with duplicates"])
@pytest.mark.parametrize("backed", [False, True])
def test_entries_of_the_same_place_count_as_their_sum(expected, tmp_path, form, backed) -> None:
    given = {"values": "log", "dtype": "float32", "form": form, "order": "same", "seed": 0}
    given |= {"names": "text", "view": False, "layer": False, "backed": backed}
    check(expected, tmp_path, given)


@settings(max_examples=8, **QUICK)
@given(handover=handovers())
def test_the_same_rows_give_the_same_results(expected, tmp_path, handover) -> None:
    check(expected, tmp_path, handover)


@pytest.mark.slow
@settings(max_examples=100, **QUICK)
@given(handover=handovers())
def test_the_same_rows_give_the_same_results_at_length(expected, tmp_path, handover) -> None:
    check(expected, tmp_path, handover)
