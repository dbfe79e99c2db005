"""Data without cohorts: some rows are labelled, and the others are learnt from as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
from mudata import MuData

import domainvi as dv
from domainvi.errors import InputError

from .conftest import QUIET

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


def seeds(adata: AnnData, n_labels: int = 10) -> AnnData:
    """Show the labels of a few rows of each class."""
    rng, label = np.random.default_rng(0), np.full(adata.n_obs, "Unknown", dtype=object)
    truth = adata.obs["label_true"].astype(str).to_numpy()
    for name in np.unique(truth):
        label[rng.choice(np.flatnonzero(truth == name), n_labels, replace=False)] = name
    adata.obs["label"] = label
    return adata


@pytest.fixture(scope="module")
def adata() -> AnnData:
    cohorts = dv.data.synthetic_cohorts(
        n_obs=400, n_genes=150, domain_effect=0.0, class_effect=1.0, seed=1
    )
    return seeds(cohorts)


@pytest.fixture(scope="module")
def model(adata: AnnData) -> dv.DomainVI:
    dv.DomainVI.setup_anndata(adata, labels_key="label")
    model = dv.DomainVI(adata)
    model.train(max_epochs=10, **QUIET)
    return model


def test_seed_labels_are_spread(model: dv.DomainVI, adata: AnnData) -> None:
    hidden = (adata.obs["label"] == "Unknown").to_numpy()
    assert hidden.sum() == 360
    truth = adata.obs["label_true"].astype(str).to_numpy()
    assert np.mean(model.predict()[hidden] == truth[hidden]) > 0.95
    assert model.domains == ["all rows"]
    assert float(model.history["adversary_weight"].max().iloc[0]) == 0.0
    assert model.fitted.guard.alignment == "off"


def test_results_can_be_written_and_rows_predicted(
    model: dv.DomainVI, adata: AnnData, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    loaded = dv.DomainVI.load(tmp_path / "model", adata)
    new = adata[:100].copy()
    assert list(loaded.predict(new)) == list(model.predict()[:100])
    loaded.annotate(new)
    assert new.uns["domainvi"]["batch_key"] == ""
    assert not new.uns["domainvi"]["unseen_cohorts"]
    new.write_h5ad(tmp_path / "new.h5ad")
    assert "label_pred" in ad.read_h5ad(tmp_path / "new.h5ad").obs
    dv.tl.report(model, adata, tmp_path / "report.html", n_genes=0)
    assert "cohorts by" not in (tmp_path / "report.html").read_text("utf-8")


def test_what_decodes_works_and_what_compares_cohorts_says_so(
    model: dv.DomainVI, adata: AnnData, capsys: pytest.CaptureFixture[str]
) -> None:
    found = model.differential_expression(groupby="label_true", group1="class_0")
    marks = adata.var["marker_of"].reindex(found.index) == "class_0"
    assert found.loc[marks, "is_de_fdr_0.05"].all()
    assert model.get_normalized_expression(adata[:10].copy()).shape == (10, 150)
    with pytest.raises(InputError, match="compares domains"):
        model.diagnose()
    with pytest.raises(InputError, match="batch_key=None"):
        dv.DomainVI.load_query_data(adata[:50].copy(), model)
    model.view_anndata_setup()
    assert "_one_domain" not in capsys.readouterr().out


def test_one_cohort_of_several_modalities(adata: AnnData) -> None:
    mdata = MuData({"rna": adata[:, :100].copy(), "mirna": adata[:, 100:].copy()})
    mdata.obs = adata.obs.copy()
    dv.DomainVI.setup_mudata(mdata, labels_key="label")
    model = dv.DomainVI(mdata)
    model.train(max_epochs=1, **QUIET)
    assert len(model.predict()) == 400


def test_labels_are_needed(adata: AnnData) -> None:
    with pytest.raises(InputError, match="labels_key=None"):
        dv.DomainVI.setup_anndata(adata.copy(), batch_key="domain")


@pytest.mark.parametrize("batch_key", ["domain", None])
def test_other_cohorts_are_read_by_a_model_of_a_named_one(
    batch_key: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = dv.data.synthetic_cohorts(n_obs=400, n_genes=150, class_effect=1.0, seed=1)
    is_query = (both.obs["domain"] == "domain_1").to_numpy()
    reference, query = both[~is_query].copy(), both[is_query].copy()
    reference.obs["label"] = reference.obs["label_true"].astype(str)
    one_class = query[(query.obs["label_true"] == "class_2").to_numpy()].copy()
    with caplog.at_level("INFO", logger="domainvi"):
        dv.DomainVI.setup_anndata(reference, batch_key=batch_key, labels_key="label")
    assert ("'domain_0': nothing is aligned" in caplog.text) == bool(batch_key)
    model = dv.DomainVI(reference)
    model.train(max_epochs=3, **QUIET)
    truth = query.obs["label_true"].astype(str).to_numpy()
    right = float(np.mean(model.predict(query) == truth))
    # Standardised as the reference was, a third and more of the rows of the other cohort are wrong.
    assert right > 0.97 if batch_key else right < 0.8
    for data in (query, one_class):
        del data.obs["label"]
        model.annotate(data)
        cautions = " ".join(data.uns["domainvi"]["cautions"])
        assert ("without a batch_key" in cautions) == (batch_key is None)
    # Of one class, platform and class cannot be told apart, and that is said.
    assert ("C03" in cautions) == bool(batch_key)
    if batch_key:
        model.save(tmp_path / "model")
        loaded = dv.DomainVI.load(tmp_path / "model", reference)
        assert list(loaded.predict(query)) == list(model.predict(query))
        with pytest.raises(InputError, match="has one, 'domain_0'"):
            model.diagnose()
        wider = dv.DomainVI.load_query_data(query, model)
        assert wider.domains == ["domain_0", "domain_1"]


def test_rows_of_another_cohort_are_warned_of(model: dv.DomainVI, adata: AnnData) -> None:
    other = adata[:50].copy()
    other.obs_names = "other " + other.obs_names
    for data, n_cautions in ((adata.copy(), 0), (other, 1)):
        model.annotate(data)
        said = [c for c in data.uns["domainvi"]["cautions"] if c.startswith("C01")]
        assert len(said) == n_cautions
    assert "trained on one cohort" in said[0]
