"""AnnData objects of every odd kind that people hand over."""

from __future__ import annotations

import warnings
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy import sparse

GENES = [f"g{i}" for i in range(24)]
ODD_NAMES = [
    "",
    " ",
    "a/b",
    "naïve",
    "基因",
    "-1",
    "nan",
    "Unknown",
    "x" * 300,
    "g\n1",
    "\ud7ff",
    "0",
]
ODD_VALUES = [np.nan, np.inf, -np.inf, -1.0, 1e38, 1e-38, 3e9, 0.5, -0.0]
DTYPES = ["float32", "float64", "float16", "int8", "int64", "uint16", "bool", "complex64", "object"]

_LABELS = {
    "text": ["a", "b", "Unknown"],
    "one class": ["a", "Unknown"],
    "nothing known": ["Unknown"],
    "missing": ["a", "b", None],
    "nan": ["a", "b", np.nan],
    "odd": ODD_NAMES,
    "numbers": [0, 1, 2],
    "floats": [0.5, 1.5, np.nan],
    "bools": [True, False],
    "mixed": ["a", 1, None],
    "dates": [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")],
    "lists": [["a"], ["b"]],
    "bytes": [b"a", b"b"],
    "many": [f"c{i}" for i in range(40)],
    "near missing": ["a", "b", "NA", "unknown"],
}
_DOMAINS = {
    "two": ["x", "y"],
    "one": ["x"],
    "many": [f"d{i}" for i in range(30)],
    "numbers": [0, 1],
    "missing": ["x", "y", None],
    "odd": ODD_NAMES,
    "floats": [0.5, np.nan],
    "bools": [True, False],
    "mixed": ["x", 3],
}


def _often(common: str, others: dict[str, Any]) -> st.SearchStrategy[str]:
    """Draw the common kind three times of four, so that something gets far."""
    return rarely(4).flatmap(
        lambda odd: st.sampled_from(sorted(others)) if odd else st.just(common)
    )


def rarely(n: int) -> st.SearchStrategy[bool]:
    """Draw true once in ``n`` times."""
    return st.sampled_from([False] * (n - 1) + [True])


@st.composite
def matrices(draw: st.DrawFn, n_obs: int, n_vars: int) -> Any:
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(["counts", "log", "negative"] * 3 + ["zeros", "ones"]))
    x = {
        "counts": lambda: rng.poisson(3.0, (n_obs, n_vars)).astype(np.float32),
        "log": lambda: rng.normal(4.0, 2.0, (n_obs, n_vars)).clip(0).astype(np.float32),
        "zeros": lambda: np.zeros((n_obs, n_vars), dtype=np.float32),
        "ones": lambda: np.ones((n_obs, n_vars), dtype=np.float32),
        "negative": lambda: rng.normal(0.0, 5.0, (n_obs, n_vars)).astype(np.float32),
    }[kind]()
    if x.size and draw(rarely(6)):
        for _ in range(draw(st.integers(1, 3))):
            value = draw(st.sampled_from(ODD_VALUES))
            x[rng.integers(n_obs), rng.integers(n_vars)] = value
    if x.size and draw(rarely(4)):
        x[rng.integers(n_obs)] = 0
        x[:, rng.integers(n_vars)] = draw(st.sampled_from((0.0, 7.0)))
    if x.size and draw(rarely(8)):
        x[rng.integers(n_obs)] *= np.float32(1e6)
    dtype = draw(st.sampled_from(DTYPES)) if draw(rarely(4)) else "float32"
    with np.errstate(all="ignore"):
        x = x.astype(dtype)
    form = draw(st.sampled_from(("dense", "dense", "csr", "csc", "csr array", "fortran", "masked")))
    if dtype in {"object", "float16"} and form not in {"dense", "fortran", "masked"}:
        form = "dense"
    return {
        "dense": lambda: x,
        "csr": lambda: sparse.csr_matrix(x),
        "csc": lambda: sparse.csc_matrix(x),
        "csr array": lambda: sparse.csr_array(x),
        "fortran": lambda: np.asfortranarray(x),
        "masked": lambda: np.ma.masked_array(x, mask=np.zeros(x.shape, dtype=bool)),
    }[form]()


@st.composite
def columns(draw: st.DrawFn, n_obs: int, kinds: dict[str, list], common: str) -> pd.Series:
    values = kinds[draw(_often(common, kinds))]
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    rows = [values[i] for i in rng.integers(len(values), size=n_obs)]
    if draw(st.booleans()):
        rows = [values[i % len(values)] for i in range(n_obs)]
    column = pd.Series(rows, dtype=object)
    how = draw(st.sampled_from(("object", "infer", "category", "unused", "string")))
    try:
        if how == "infer":
            return column.infer_objects()
        if how in {"category", "unused"}:
            column = column.astype("category")
            return column.cat.add_categories(["never"]) if how == "unused" else column
        if how == "string":
            return column.astype("string")
    except (TypeError, ValueError):
        return pd.Series(rows, dtype=object)
    return column


@st.composite
def names(draw: st.DrawFn, stem: str, n: int) -> list[str]:
    listed = [f"{stem}{i}" for i in range(n)]
    if n and draw(rarely(6)):
        for _ in range(draw(st.integers(1, 2))):
            listed[draw(st.integers(0, n - 1))] = draw(st.sampled_from(ODD_NAMES))
    if draw(rarely(4)):
        listed.reverse()
    if n > 1 and draw(rarely(12)):
        listed[0] = listed[-1]
    return listed


@st.composite
def objects(draw: st.DrawFn, *, all_genes: bool = False) -> ad.AnnData:
    """Build an AnnData object with what may be wrong with it."""
    n_obs = draw(st.sampled_from((0, 1, 2, 3, 5, 8)) if draw(rarely(6)) else st.integers(20, 40))
    n_vars = draw(
        st.sampled_from((0, 1, 2, 3))
        if draw(rarely(8))
        else st.integers(len(GENES) if all_genes else 14, len(GENES))
    )
    obs = pd.DataFrame(
        {
            "label": draw(columns(n_obs, _LABELS, "text")),
            "domain": draw(columns(n_obs, _DOMAINS, "two")),
            "plate": draw(columns(n_obs, _DOMAINS, "two")),
            "sex": draw(columns(n_obs, _LABELS, "text")),
            "age": draw(columns(n_obs, {**_LABELS, "age": [30.0, 41.5, 50.0]}, "age")),
        }
    )
    obs.index = draw(names("r", n_obs))
    var = pd.DataFrame(index=draw(names("g", n_vars)))
    x = draw(matrices(n_obs, n_vars))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            adata = ad.AnnData(x, obs=obs, var=var)
        except (TypeError, ValueError):  # anndata itself refuses some
            adata = ad.AnnData(np.asarray(x, dtype=np.float32), obs=obs, var=var)
        if draw(rarely(4)):
            adata.layers["other"] = draw(matrices(n_obs, n_vars))
        if draw(rarely(20)):
            adata = ad.AnnData(obs=adata.obs, var=adata.var)
        if n_obs and draw(rarely(6)):
            adata = adata[np.arange(n_obs)[::-1]]
    return adata


def keys() -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of ``setup_anndata``, right ones and wrong ones."""
    optional = {
        "unlabeled_category": st.sampled_from(("Unknown", "b", "nothing", None, 3)),
        "layer": st.sampled_from((None, "other", "nothing", 3, ["other"])),
        "size_factor_key": st.sampled_from((None, "age", "age", "sex", "nothing", ["age"], 3)),
        "categorical_covariate_keys": st.sampled_from(
            (None, [], ["sex"], ["sex"], ("sex",), "sex", ["label"], [["sex"]], 3)
        ),
        "continuous_covariate_keys": st.sampled_from(
            (None, ["age"], ["age"], ["sex"], ["nothing"], "age")
        ),
    }
    plain = st.just({"batch_key": "domain", "labels_key": "label"})
    columns = st.sampled_from(("domain", ["domain", "plate"], ("domain",)))
    good = st.fixed_dictionaries({"batch_key": columns, "labels_key": st.just("label")})
    batch_key = st.sampled_from(("domain", [], "nothing", "label", None, 3, [None]))
    labels_key = st.sampled_from(("label", "age", "nothing", None, "domain", ["label"]))
    odd = st.fixed_dictionaries(
        {"batch_key": batch_key, "labels_key": labels_key}, optional=optional
    )
    given = st.fixed_dictionaries(
        {"batch_key": columns, "labels_key": st.just("label")}, optional=optional
    )
    return st.sampled_from([plain, plain, good, given, given, odd]).flatmap(lambda chosen: chosen)
