"""Names that the examples in docstrings share: each example gets fresh copies."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import domainvi as dv

FACTOR_GROUPS = {"biological": ["tissue"], "technical": ["platform"]}

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[ad.AnnData, Path]:
    """Two small cohorts, and the folder of a model that was trained on them for one epoch."""
    adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
    folder = tmp_path_factory.mktemp("examples") / "model"
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata)
    model.train(max_epochs=1, enable_progress_bar=False)
    model.save(folder)
    return adata, folder


@pytest.fixture(scope="session")
def trained_on_factors(tmp_path_factory: pytest.TempPathFactory) -> tuple[ad.AnnData, Path]:
    """Rows with planted factors, and the folder of a DisentangledVI trained for one epoch."""
    adata = dv.data.synthetic_factors(n_obs=300, n_genes=60, seed=1)
    folder = tmp_path_factory.mktemp("examples") / "disentangled"
    dv.DisentangledVI.setup_anndata(adata, factor_groups=FACTOR_GROUPS)
    model = dv.DisentangledVI(adata)
    model.train(max_epochs=1, enable_progress_bar=False)
    model.save(folder)
    return adata, folder


@pytest.fixture(autouse=True)
def example_names(
    request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]
) -> dict[str, Any]:
    """Put into the namespace of an example what it uses."""
    doctest_namespace |= {"dv": dv, "np": np, "pd": pd, "ad": ad}
    example = getattr(request.node, "dtest", None)
    source = "" if example is None else "".join(e.source for e in example.examples)
    if "da." in source:
        doctest_namespace["da"] = pytest.importorskip("dask.array")
    if "domainvi.disentangled" in getattr(example, "name", ""):
        adata, folder = request.getfixturevalue("trained_on_factors")
        adata = copy.deepcopy(adata)
        doctest_namespace |= {"adata": adata, "model": dv.DisentangledVI.load(folder, adata)}
    elif "adata" in source or "model" in source:
        adata, folder = request.getfixturevalue("trained")
        adata = copy.deepcopy(adata)
        dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        doctest_namespace |= {"adata": adata, "model": dv.DomainVI.load(folder, adata)}
    return doctest_namespace
