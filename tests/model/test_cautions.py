"""What speaks against predictions is said in the annotated object, of the rows in question."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest

import domainvi as dv
from domainvi.errors import InputError
from domainvi.model import _diagnosis
from domainvi.train import _new_cohorts

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


@pytest.fixture(scope="module")
def adata() -> ad.AnnData:
    return dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=3)


@pytest.fixture(scope="module")
def model(adata: ad.AnnData) -> dv.DomainVI:
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata)
    model.train(max_epochs=2, accelerator="cpu", enable_progress_bar=False)
    return model


def test_cautions_are_written_and_survive_h5ad(
    adata: ad.AnnData, model: dv.DomainVI, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    query = adata[:, :45].copy()
    with caplog.at_level(logging.WARNING, logger="domainvi"):
        model.annotate(query)
    cautions, notes = (query.uns["domainvi"][level] for level in ("cautions", "notes"))
    assert "C08 genes: 15 of the model's 60 genes are missing here." in cautions
    assert "C08 genes" not in " ".join(notes)
    assert f"Cautions on these predictions: {len(cautions)}, see" in caplog.text
    query.write_h5ad(tmp_path / "query.h5ad")
    back = ad.read_h5ad(tmp_path / "query.h5ad").uns["domainvi"]
    assert list(back["cautions"]) == list(cautions)
    assert list(back["notes"]) == list(notes)


def test_one_missing_gene_is_a_note(adata: ad.AnnData, model: dv.DomainVI) -> None:
    query = adata[:, 1:].copy()
    model.annotate(query)
    notes = query.uns["domainvi"]["notes"]
    assert list(notes) == ["C08 genes: 1 of the model's 60 genes is missing here."]
    assert "C08" not in " ".join(query.uns["domainvi"]["cautions"])


def test_none_is_an_empty_list_in_the_file(
    adata: ad.AnnData, model: dv.DomainVI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_diagnosis, "find_cautions", lambda *_, **__: np.array([], dtype=str))
    query = adata.copy()
    model.annotate(query)
    query.write_h5ad(tmp_path / "query.h5ad")
    assert list(ad.read_h5ad(tmp_path / "query.h5ad").uns["domainvi"]["cautions"]) == []


def test_they_are_about_rows_that_the_model_did_not_learn_from(
    adata: ad.AnnData, model: dv.DomainVI, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def count(rows: pd.DataFrame, **_: object) -> np.ndarray:
        seen.append(len(rows))
        return np.array([], dtype=str)

    monkeypatch.setattr(_diagnosis, "find_cautions", count)
    model.annotate(adata)
    model.annotate(adata.copy())
    model.annotate(adata[:100].copy())
    hidden = int((adata.obs["label"] == "Unknown").sum())
    assert 0 < hidden < adata.n_obs
    assert seen == [hidden, hidden, 100]
    only = np.arange(adata.n_obs) < 7
    model.annotate(adata, caution_rows=only)
    assert seen[-1] == 7


def test_rows_asked_for_are_a_mask(adata: ad.AnnData, model: dv.DomainVI) -> None:
    query = adata.copy()
    query.uns.pop("domainvi", None)
    for wrong in (np.ones(3, dtype=bool), np.arange(adata.n_obs)):
        with pytest.raises(InputError, match="caution_rows holds .* expected a mask of booleans"):
            model.annotate(query, caution_rows=wrong)
    assert "domainvi" not in query.uns


def test_rows_of_classes_that_are_ruled_out_are_counted(
    adata: ad.AnnData, model: dv.DomainVI
) -> None:
    predicted = model.predict(adata)
    first = model.classes[0]
    query = adata.copy()
    model.annotate(query, classes=[first])
    hidden = (adata.obs["label"] == "Unknown").to_numpy()
    n_other = int((predicted != first)[hidden].sum())
    (said,) = [c for c in query.uns["domainvi"]["cautions"] if c.startswith("C10")]
    assert int(said.split()[2]) >= 0.9 * n_other
    same = adata[predicted == first].copy()
    model.annotate(same, classes=[first, model.classes[1]])
    assert "C10" not in " ".join(same.uns["domainvi"]["cautions"])


@pytest.mark.parametrize("share", [0.9, 0.1])
def test_a_new_cohort_has_the_vote_on_its_own_rows(
    adata: ad.AnnData, model: dv.DomainVI, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    found = _new_cohorts.by_composition
    monkeypatch.setattr(_new_cohorts, "by_composition", lambda *a: (*found(*a)[:2], share))
    query = adata[:60].copy()
    query.obs_names = "new " + query.obs_names
    query.obs["domain"] = "hospital"
    model.annotate(query)
    cautions = " ".join(query.uns["domainvi"]["cautions"])
    assert ("C03 composition" in cautions) == (share > 0.7)
    assert ("had 90% of the vote" in cautions) == (share > 0.7)
    assert model.fitted.guard.row_wise_share < 0.7
