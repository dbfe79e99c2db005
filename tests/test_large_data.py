"""The functions that docs/large_data.md prints, run as they stand there."""

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.data import _disk

PAGE = Path(__file__).parents[1] / "docs" / "large_data.md"


def function(name):
    """Take a function from the page."""
    blocks = re.findall(r"<!-- runs in .*? -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (code,) = [b for b in blocks if f"def {name}(" in b]
    scope = {"ad": ad, "np": np, "dv": dv}
    exec(code, scope)
    return scope[name]


@pytest.mark.parametrize("opened", ["backed", "with dask"])
def test_chunks_of_a_file_are_predicted_as_the_whole(tmp_path, monkeypatch, opened):
    if opened == "with dask":
        pytest.importorskip("dask")
    adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8)
    model.train(max_epochs=1, enable_progress_bar=False)
    query = adata.copy()
    query.obs["domain"] = "new"
    expected = model.predict(query, soft=True)
    path = tmp_path / "query.h5ad"
    query.write_h5ad(path)
    monkeypatch.setattr(_disk, "IN_MEMORY_BYTES", 0)
    as_file = opened == "backed"
    query = ad.read_h5ad(path, backed="r") if as_file else function("open_with_dask")(path)
    chunks = list(function("predict_in_chunks")(model, query, n_rows=90))
    assert [len(c) for c in chunks] == [90, 90, 20]
    pd.testing.assert_frame_equal(pd.concat(chunks), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_sweep_runs(tmp_path):
    pytest.importorskip("ray")
    pytest.importorskip("hyperopt")
    adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
    outcome = function("tune")(adata, n_trials=2, directory=str(tmp_path))
    losses = [r.metrics["validation_loss"] for r in outcome.result_grid]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
