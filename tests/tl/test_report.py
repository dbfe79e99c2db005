"""The report: what it says, that it stands alone, and that it is written whole."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest

import domainvi as dv
from domainvi.errors import InputError, NotTrainedError
from domainvi.tl._report import _facts, _write

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
    assert str(model.audit_["sentence"]) in text
    assert str(model.guard_["evidence"]) in text
    assert re.search(r"seed 0\b", text)
    assert domain_names(model) <= set(text.split())


def domain_names(model: dv.DomainVI) -> set[str]:
    return set(model.domains)


def test_scores_are_of_rows_that_did_not_teach(model: dv.DomainVI, adata: AnnData) -> None:
    work = adata.copy()
    model.annotate(work)
    hidden = int((adata.obs["label"] == "Unknown").sum())
    own = adata.copy()
    own.obs = work.obs
    own.uns, own.obsm = work.uns, work.obsm
    facts = _facts.gather(model, own, own=True, truth="label_true", n_genes=0)
    assert 0 < hidden < adata.n_obs
    assert facts.scores["rows with a true label"] == hidden


def test_rows_are_annotated_on_a_copy(model: dv.DomainVI, adata: AnnData, tmp_path: Path) -> None:
    rows = adata[:50].copy()
    before = set(rows.obs), set(rows.obsm), set(rows.uns)
    dv.tl.report(model, rows, tmp_path / "r.html", n_genes=0)
    assert (set(rows.obs), set(rows.obsm), set(rows.uns)) == before


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


def test_many_flagged_rows_are_a_caution(model: dv.DomainVI) -> None:
    rows = _rows(unknown=np.repeat([0.01, 0.5], [30, 70]))
    assert any("30 of 100 rows fit no known class" in c for c in _cautions(model, rows))
    assert not any("fit no" in c for c in _cautions(model, _rows(unknown=np.full(100, 0.5))))


def test_many_unsure_rows_are_a_caution(model: dv.DomainVI) -> None:
    rows = _rows(confidence=np.repeat([0.4, 0.9], [40, 60]))
    assert any("40% of the rows" in c for c in _cautions(model, rows))


def _rows(**columns: np.ndarray) -> object:
    import pandas as pd

    return pd.DataFrame({"confidence": np.full(100, 0.9), "unknown": np.full(100, 0.5)} | columns)


def _cautions(model: dv.DomainVI, rows: object) -> list[str]:
    return _facts.find_cautions(model, rows, {})
