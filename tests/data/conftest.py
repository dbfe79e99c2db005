"""What the data tests share: a small sound AnnData, and proof that one was not changed."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

N_OBS, N_VARS = 12, 5


@pytest.fixture
def sound() -> AnnData:
    """Two domains of six rows, two classes, four unlabelled rows, one number to predict."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "cohort": pd.Categorical(["a", "b"] * 6),
            "label": pd.Categorical(["x", "x", "y", "y", "Unknown", "Unknown"] * 2),
            "sex": pd.Categorical(["f", "f", "m"] * 4),
            "age": np.arange(N_OBS) + 40.5,
        },
        index=[f"row_{i}" for i in range(N_OBS)],
    )
    var = pd.DataFrame(index=[f"gene_{i}" for i in range(N_VARS)])
    counts = rng.poisson(3, size=(N_OBS, N_VARS)).astype(np.float32)
    return AnnData(counts, obs=obs, var=var, layers={"counts": counts.copy()})


def _plain(matrix: Any) -> Any:
    if hasattr(matrix, "to_memory"):
        matrix = matrix.to_memory()
    return matrix.toarray() if sparse.issparse(matrix) else np.array(matrix)


def _state(adata: Any) -> dict[str, Any]:
    return {
        "X": None if adata.X is None else _plain(adata.X),
        "X_type": type(adata.X),
        "layers": {key: _plain(layer) for key, layer in adata.layers.items()},
        "obs": adata.obs.copy(deep=True),
        "var": adata.var.copy(deep=True),
        "uns": dict(adata.uns),
        "obsm": list(adata.obsm),
        "is_view": adata.is_view,
    }


@contextmanager
def _unchanged(adata: Any) -> Iterator[None]:
    is_adata = isinstance(adata, AnnData)
    before = _state(adata) if is_adata else adata
    yield
    if not is_adata:
        return
    after = _state(adata)
    pd.testing.assert_frame_equal(before.pop("obs"), after.pop("obs"))
    pd.testing.assert_frame_equal(before.pop("var"), after.pop("var"))
    np.testing.assert_equal(after, before)


@pytest.fixture
def unchanged() -> Callable[[Any], AbstractContextManager[None]]:
    """Context in which an AnnData must keep every value, type and name."""
    return _unchanged
