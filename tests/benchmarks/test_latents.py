"""The pieces of the benchmark of latents: sets, subsamples, rows that are there, table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from benchmarks.latents import __main__ as command
from benchmarks.latents import datasets, figure, measures, methods, table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def five(monkeypatch: pytest.MonkeyPatch) -> None:
    """The five small cohorts as the only set."""
    monkeypatch.setattr(datasets, "SETS", {"five": datasets.Source("five.h5ad", ("b",))})
    monkeypatch.setattr(command, "SETS", datasets.SETS)


@pytest.mark.usefixtures("five")
def test_labels_of_the_target_alone_are_hidden(data_folder: Path) -> None:
    adata = datasets.read("five", data_folder)
    is_target = adata.obs["cohort"].eq("b")
    assert adata.obs["shown"].eq("Unknown").equals(is_target)
    assert adata.obs.loc[~is_target, "shown"].eq(adata.obs.loc[~is_target, "label"]).all()
    known = datasets.read("five", data_folder, hide=False)
    assert known.obs["shown"].eq(known.obs["label"]).all()


def test_patients_measured_twice_are_dealt_to_the_cohorts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    obs = pd.DataFrame(
        {"cohort": list("aabb"), "label": "x", "half": list("0101")}, index=list("wxyz")
    )
    ad.AnnData(np.ones((4, 2)), obs=obs).write_h5ad(tmp_path / "twice.h5ad")
    monkeypatch.setattr(datasets, "SETS", {"twice": datasets.Source("twice.h5ad", ("b",))})
    assert datasets.read("twice", tmp_path).obs_names.tolist() == ["w", "z"]


def test_a_subsample_keeps_the_shares_and_is_the_same_each_time(data_folder: Path) -> None:
    adata = ad.read_h5ad(data_folder / "five.h5ad")
    half, again = (datasets.subsample(adata, 200) for _ in range(2))
    before, after = (pd.crosstab(a.obs["cohort"], a.obs["label"]) for a in (adata, half))
    assert (abs(after - before / 2) <= 1).all(axis=None)
    assert half.obs_names.equals(again.obs_names)
    assert datasets.subsample(adata, 400) is adata


def test_each_class_is_thinned_in_every_other_cohort(data_folder: Path) -> None:
    adata = ad.read_h5ad(data_folder / "five.h5ad")[:240].copy()
    shares = pd.crosstab(*(datasets.thinned(adata).obs[k] for k in ("cohort", "label")))
    whole = pd.crosstab(adata.obs["cohort"], adata.obs["label"])
    expected = {("a", "x"): 1, ("a", "y"): 0.25, ("b", "x"): 0.25, ("b", "y"): 1}
    for (cohort, label), share in expected.items():
        rows = int(share * whole.loc[cohort, label])
        assert shares.loc[cohort, label] == max(rows, 8)


def test_z_scores_leave_no_mean_of_a_cohort(data_folder: Path) -> None:
    adata = ad.read_h5ad(data_folder / "five.h5ad")
    adata.X[:120] *= 3
    ((name, z, predicted),) = methods.z_scores(adata, 0)
    assert name == "z-scores"
    assert predicted is None
    means = pd.DataFrame(z).groupby(adata.obs["cohort"].to_numpy()).mean()
    np.testing.assert_allclose(means, 0, atol=1e-4)


def test_f1_is_of_hidden_rows_whose_class_is_shown() -> None:
    obs = pd.DataFrame(
        {"label": ["x", "y", "x", "y", "new"], "shown": ["x", "y", *["Unknown"] * 3]}
    )
    assert measures.hidden_f1(obs, np.array(["y", "y", "x", "x", "x"])) == {
        "macro_f1": pytest.approx(1 / 3)
    }
    assert measures.hidden_f1(obs, None) == {}


def test_a_row_takes_the_place_of_one_with_the_same_keys(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    key = {"data": "five", "labels": "hidden", "latents": "PCA"}
    for seed, total in ((0, None), (1, 0.5), (0, 0.25)):
        table.add(path, {**key, "seed": seed, "total": total})
        if total is None:
            assert table.finished(path, scib=True) == set()
            assert table.finished(path, scib=False) == {("five", "hidden", "PCA", 0)}
    assert table.load(path)[["seed", "total"]].to_numpy().tolist() == [[1, 0.5], [0, 0.25]]


@pytest.mark.usefixtures("five")
def test_what_is_there_is_not_made_again(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "results.csv"
    monkeypatch.setattr(measures, "PROBES", ("logistic",))
    arguments = ["--data", str(data_folder), "--out", str(out), "--probes-only", "--latents"]
    command.main([*arguments, "PCA"])
    first = table.load(out)
    assert first[["data", "labels", "latents", "seed"]].to_numpy().tolist() == [
        ["five", "hidden", "PCA", 0]
    ]
    # Two cohorts of three classes: what tells them apart is noise.
    assert first["logistic"].between(0, 0.6).all()
    monkeypatch.setitem(methods.METHODS, ("PCA", "Harmony"), lambda *_: pytest.fail("again"))
    command.main([*arguments, "PCA", "z-scores"])
    assert table.load(out)["latents"].tolist() == ["PCA", "z-scores"]


@pytest.fixture
def rows() -> pd.DataFrame:
    """Two seeds of DomainVI, the second without scib-metrics, and one of two others."""
    names = ["data", "labels", "latents", "seed", *measures.SCIB, "chance", "logistic", "forest"]
    values = [
        ("b", "hidden", "PCA", 0, 0.5, 0.2, 0.3, 0.5, 1.0, 0.9),
        ("b", "hidden", "scVI", 0, 0.4, 0.6, 0.5, 0.5, 0.7, 0.6),
        ("b", "hidden", "DomainVI", 0, 0.6, 0.6, 0.6, 0.5, 0.5, 0.6),
        ("b", "hidden", "DomainVI", 1, None, None, None, 0.5, 0.7, 0.4),
        ("a", "hidden", "PCA", 0, 0.5, 0.2, 0.3, 0.25, 0.9, 0.95),
        ("a", "hidden", "DomainVI", 0, 0.7, 0.8, 0.75, 0.25, 0.4, 0.3),
        ("a", "known", "DomainVI", 0, 0.9, 0.9, 0.9, 0.25, 0.3, 0.3),
    ]
    return pd.DataFrame(values, columns=names).assign(macro_f1=0.5, seconds=2.0)


def test_seeds_are_averaged_and_settings_are_not_mixed(rows: pd.DataFrame) -> None:
    means = figure.means(rows)
    assert means.index.unique("data").tolist() == ["b", "a"]
    assert means.loc[("b", "DomainVI"), "total"] == 0.6
    # Of each seed the larger probe: .1 and .2 above chance.
    assert means.loc[("b", "DomainVI"), "found"] == pytest.approx(0.15)
    assert means.loc[("a", "DomainVI"), "total"] == 0.75


def test_the_best_of_the_others_is_named(rows: pd.DataFrame) -> None:
    text = figure.summarise(rows)
    assert "| b | 0.600 / 0.500 (PCA) | 0.600 / 0.600 (scVI) | 0.600 / 0.500 (scVI) |" in text
    assert "| a | 0.25 | 0.90 / 0.95 |  |  |  |  |  | 0.40 / 0.30 |" in text


def test_each_score_has_a_panel_and_each_set_a_line(rows: pd.DataFrame) -> None:
    panels = figure.draw(rows).axes
    assert [axes.get_xlabel() for axes in panels] == list(figure.TITLES.values())
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["b", "a"]
    dots = {dot.get_label(): dot.get_offsets() for dot in panels[2].collections}
    np.testing.assert_allclose(dots["DomainVI"], [(0.6, 0), (0.75, 1)])
