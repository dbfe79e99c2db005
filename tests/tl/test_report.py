"""The report: what it says, that it stands alone, and that it is written whole."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.errors import InputError, NotTrainedError
from domainvi.model import all_row_ids
from domainvi.tl._report import _write
from domainvi.tl._report._facts import compare

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

SETUP = {"batch_key": "domain", "labels_key": "label"}


@pytest.fixture(scope="module")
def adata() -> AnnData:
    adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=3)
    names = dict(
        zip(sorted(adata.obs["label_true"].unique()), ["<b>", "x & y", "c", "d"], strict=True)
    )
    for column in ("label", "label_true"):
        adata.obs[column] = adata.obs[column].astype(str).map(lambda name: names.get(name, name))
    return adata


@pytest.fixture(scope="module")
def model(adata: AnnData) -> dv.DomainVI:
    dv.DomainVI.setup_anndata(adata, **SETUP)
    model = dv.DomainVI(adata)
    model.train(max_epochs=3, accelerator="cpu", enable_progress_bar=False)
    return model


class Page(HTMLParser):
    """Text, headings and addresses of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text.append(data)


@pytest.fixture(scope="module")
def page(model: dv.DomainVI, tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert dv.tl.report(model, path=path, truth="label_true", n_genes=3) == path
    return Page(path.read_text(encoding="utf-8"))


def test_every_element_is_closed_and_nothing_is_fetched(page: Page) -> None:
    assert page.open == []
    assert len(page.addresses) >= 4
    assert [a[:20] for a in page.addresses if not a.startswith("data:image/")] == []


def test_names_of_classes_are_text_and_not_markup(page: Page) -> None:
    assert {"<b>", "x & y"} <= {t.strip() for t in page.text}


def test_it_says_what_the_model_says(page: Page, model: dv.DomainVI) -> None:
    text = " ".join(" ".join(page.text).split())
    assert str(model.fitted.audit.sentence) in text
    assert str(model.fitted.guard.evidence) in text
    assert re.search(r"seed 0\b", text)
    n_taught = int((model.adata.obs["label"] != "Unknown").sum())
    assert f"The {n_taught} labelled rows, which taught the model, are left out." in text
    assert "to be read beside chance" in text
    assert "nan" not in text.split()


def test_it_shows_sets_and_classes_that_can_be_there(model: dv.DomainVI, tmp_path: Path) -> None:
    path = dv.tl.report(
        model, path=tmp_path / "r.html", n_genes=0, set_alpha=0.1, classes=["c", "d"]
    )
    text = " ".join(" ".join(Page(path.read_text(encoding="utf-8")).text).split())
    assert "Only these classes were taken to be possible: c, d." in text
    assert "Sets state that they hold the right class in 90.0% of the rows" in text
    assert "at a false discovery rate of 10 %" in text


def compared(model: dv.DomainVI, adata: AnnData, truth: str = "label_true") -> dict[str, Any]:
    work = adata.copy()
    model.annotate(work)
    return compare(model, work, truth)


def test_rows_that_taught_are_not_scored(model: dv.DomainVI, adata: AnnData) -> None:
    hidden = (adata.obs["label"] == "Unknown").to_numpy()
    assert 0 < hidden.sum() < adata.n_obs
    shuffled = adata[::-1].copy()
    for rows, expected in ((adata, hidden), (adata.copy(), hidden), (shuffled, hidden[::-1])):
        found = compared(model, rows)
        np.testing.assert_array_equal(found["rows"], expected)
        assert found["scores"]["rows with a true label"] == hidden.sum()
        assert f"Left out: {(~hidden).sum()} rows" in found["remark"]


def test_a_loaded_model_knows_the_rows_that_taught(
    model: dv.DomainVI, adata: AnnData, tmp_path: Path
) -> None:
    hidden = (adata.obs["label"] == "Unknown").to_numpy()
    model.save(tmp_path / "m")
    loaded = dv.DomainVI.load(tmp_path / "m")
    np.testing.assert_array_equal(compared(loaded, adata)["rows"], hidden)
    loaded.save(tmp_path / "again")
    again = dv.DomainVI.load(tmp_path / "again", adata[hidden].copy())
    np.testing.assert_array_equal(compared(again, adata)["rows"], hidden)
    query = adata[hidden].copy()
    query.obs["label"] = query.obs["label_true"]
    query.obs_names = [f"new{i}" for i in range(query.n_obs)]
    assert compared(loaded, query)["rows"].all()
    mapped = dv.DomainVI.load_query_data(query, loaded)
    mapped.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    assert not compared(mapped, query)["rows"].any()
    np.testing.assert_array_equal(compared(mapped, adata)["rows"], hidden)


def test_a_model_is_saved_whatever_became_of_its_data(adata: AnnData, tmp_path: Path) -> None:
    data = adata.copy()
    dv.DomainVI.setup_anndata(data, **SETUP)
    model = dv.DomainVI(data)
    expected = all_row_ids(model)
    data.obs_names = [f"other{i}" for i in range(data.n_obs)]
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(all_row_ids(dv.DomainVI.load(tmp_path / "m")), expected)


def test_without_rows_to_compare_there_are_no_scores(
    model: dv.DomainVI, adata: AnnData, tmp_path: Path
) -> None:
    work = adata.copy()
    work.obs["nothing"] = pd.Categorical(["Unknown", None] * 100)
    for truth in ("label", "nothing"):
        found = compared(model, work, truth)
        assert found["scores"] == {}
        assert "row has a true label" in found["remark"]
        path = dv.tl.report(
            model, work, tmp_path / "r.html", truth=truth, n_genes=0, overwrite=True
        )
        assert found["remark"] in path.read_text(encoding="utf-8")


def test_unlabelled_rows_are_not_scored(model: dv.DomainVI, adata: AnnData) -> None:
    work = adata.copy()
    hidden = np.flatnonzero(work.obs["label"] == "Unknown")
    work.obs.iloc[hidden[:7], work.obs.columns.get_loc("label_true")] = "Unknown"
    found, rows = compared(model, work), hidden[7:]
    assert found["scores"]["rows with a true label"] == len(rows)
    truth, predicted = adata.obs["label_true"].to_numpy()[rows], model.predict(adata)[rows]
    assert found["scores"]["macro-F1"] == pytest.approx(dv.metrics.macro_f1(truth, predicted))


def test_the_model_at_hand_is_reported(model: dv.DomainVI, adata: AnnData, tmp_path: Path) -> None:
    work = adata.copy()
    model.annotate(work)
    other = np.roll(work.obs["label_pred"].to_numpy(), 1)
    work.obs["label_pred"] = other
    work.uns["domainvi"]["genes_matched"] = 3
    dv.tl.report(model, work, tmp_path / "r.html", n_genes=0)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "of the model&#39;s 60 genes are missing" not in text
    assert (work.obs["label_pred"].to_numpy() == other).all()
    assert work.uns["domainvi"]["genes_matched"] == 3


def test_unknown_rows_are_named_as_asked(
    model: dv.DomainVI, adata: AnnData, tmp_path: Path
) -> None:
    path = dv.tl.report(model, path=tmp_path / "r.html", n_genes=0, unknown_alpha=1.0)
    n_hidden = int((adata.obs["label"] == "Unknown").sum())
    assert f'<th scope="row">Unknown</th><td>{n_hidden}</td>' in path.read_text("utf-8")


def test_reports_are_for_domainvi(tmp_path: Path) -> None:
    adata = dv.data.synthetic_factors(80, 60, seed=1)
    dv.DisentangledVI.setup_anndata(adata, factor_groups=adata.uns["factor_groups"])
    with pytest.raises(InputError, match="Reports are for DomainVI, and this is a DisentangledVI"):
        dv.tl.report(dv.DisentangledVI(adata), path=tmp_path / "r.html")


def test_rows_are_annotated_on_a_copy(model: dv.DomainVI, adata: AnnData, tmp_path: Path) -> None:
    for rows in (adata[:50].copy(), adata[:50]):
        before = set(rows.obs), set(rows.obsm), set(rows.uns), rows.is_view
        dv.tl.report(model, rows, tmp_path / "r.html", n_genes=0, overwrite=True)
        assert (set(rows.obs), set(rows.obsm), set(rows.uns), rows.is_view) == before


def test_a_file_is_replaced_only_when_asked(model: dv.DomainVI, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        dv.tl.report(model, path=path, n_genes=0)
    assert path.read_text() == "mine"
    dv.tl.report(model, path=path, n_genes=0, overwrite=True)
    assert path.read_text().startswith("<!doctype html>")


def test_a_fault_leaves_nothing_behind(
    model: dv.DomainVI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError

    monkeypatch.setattr(_write, "render", fail)
    with pytest.raises(RuntimeError):
        dv.tl.report(model, path=tmp_path / "r.html", n_genes=0)
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments_are_refused_before_any_work(model: dv.DomainVI, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="truth='nothing' is not a column of obs"):
        dv.tl.report(model, path=tmp_path / "r.html", truth="nothing")
    with pytest.raises(InputError, match="does not exist"):
        dv.tl.report(model, path=tmp_path / "no" / "r.html")


def test_an_untrained_model_has_no_report(adata: AnnData, tmp_path: Path) -> None:
    dv.DomainVI.setup_anndata(adata, **SETUP)
    with pytest.raises(NotTrainedError):
        dv.tl.report(dv.DomainVI(adata), path=tmp_path / "r.html")


def test_rows_that_are_named_coarsely_are_compared_at_the_finest_level(
    adata: AnnData, tmp_path: Path
) -> None:
    data = adata.copy()
    data.obs["broad"] = "all"
    dv.DomainVI.setup_anndata(data, batch_key="domain", labels_key=["broad", "label"])
    model = dv.DomainVI(data, n_latent=4, n_hidden=8)
    model.train(max_epochs=1, enable_progress_bar=False)
    path = tmp_path / "r.html"
    dv.tl.report(model, path=path, truth="label_true", n_genes=0, level_confidence=1.0)
    assert "True and predicted classes" in path.read_text("utf-8")
    found = data.copy()
    model.annotate(found, level_confidence=1.0)
    hidden = (data.obs["label"] == "Unknown").to_numpy()
    assert (found.obs["label_pred"][hidden] == "all").mean() > 0.5
    right = (model.predict() == data.obs["label_true"].astype(str).to_numpy())[hidden].mean()
    scores = compare(model, found, "label_true")
    assert scores["scores"]["accuracy"] == pytest.approx(right)
