"""The functions that docs/large_data.md prints, run as they stand there."""

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import domainvi as dv

PAGE = Path(__file__).parents[1] / "docs" / "large_data.md"


def function(name):
    """Take a function from the page."""
    blocks = re.findall(r"<!-- runs in .*? -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (code,) = [b for b in blocks if f"def {name}(" in b]
    scope = {"ad": ad, "np": np, "dv": dv}
    exec(code, scope)
    return scope[name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["alone", pytest.param("on a cluster", marks=pytest.mark.slow)])
def test_a_store_is_annotated(tmp_path, kind):
    pytest.importorskip("xarray")
    distributed = pytest.importorskip("distributed")
    adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8)
    model.train(max_epochs=1, enable_progress_bar=False)
    model.save(tmp_path / "model")
    query, path = adata.copy(), tmp_path / "found.zarr"
    query.obs["domain"] = "new"
    query.write_zarr(tmp_path / "query.zarr")
    if kind == "alone":
        found = function("annotate_store")(model, tmp_path / "query.zarr", path)
    else:
        with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as c:
            function("annotate_on_cluster")(tmp_path / "model", tmp_path / "query.zarr", path, c)
        found = ad.read_zarr(path)
    expected = model.predict(query, soft=True)
    np.testing.assert_allclose(found.obsm["label_prob"], expected, atol=1e-5)
    assert found.obs["label_pred"].tolist() == model.predict(query).tolist()


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
