"""The atlas benchmark: what is planted, and what is scored."""

import anndata as ad
import numpy as np
import pytest
from benchmarks.atlas.__main__ import measure, parse, scores
from benchmarks.atlas.planted import Recipe, Size, planted_atlas, write_atlas

SIZE = Size(600, 6, 4, genes=80)
# Classes that a small draw finds.
EASY = Recipe(class_effect=4.0, spread=0.2, tail=0.5, mix=5.0)


def test_the_planted_atlas_has_a_long_tail_and_cohorts_of_other_mixes():
    adata = planted_atlas(Size(4_000, 20, 6, genes=50))
    obs = adata.obs.astype(str)
    count = obs["truth"].value_counts()
    assert count.max() > 20 * count.min()
    hidden = obs.groupby("cohort")["label"].apply(lambda v: (v == "Unknown").mean())
    assert hidden.tolist() == [0, 1] * 3
    shown = obs["label"] != "Unknown"
    assert (obs["label"] == obs["truth"])[shown].all()
    assert (obs.groupby("truth")["lineage"].nunique() == 1).all()
    assert 1 < obs["lineage"].nunique() < obs["truth"].nunique()
    share = obs.groupby("cohort")["truth"].value_counts(normalize=True).unstack(fill_value=0)
    assert (share.max() > 3 * share.median()).sum() > 5


def test_the_seed_decides_everything():
    first, again, other = (planted_atlas(Size(200, 4, 2, 30, seed)) for seed in (0, 0, 1))
    assert (first.X != again.X).nnz == 0
    assert (first.X != other.X).nnz > 0
    assert first.obs["truth"].equals(again.obs["truth"])


def test_scores_leave_out_classes_without_labels():
    truth = np.repeat(["a", "b", "c"], [40, 40, 20])
    label = np.where(np.arange(100) % 2, "Unknown", truth)
    label[truth == "c"] = "Unknown"
    adata = ad.AnnData(np.zeros((100, 1)), obs={"truth": truth, "label": label})
    found = scores(adata, np.where(truth == "b", "a", truth))
    # All of b are taken for a: the F1 of a is 2 / 3 and that of b is 0.
    assert found == {
        "macro_f1": pytest.approx(1 / 3),
        "accuracy": 0.5,
        "under_half": 1,
        "frequent": 2,
    }


def test_sizes_are_read():
    assert parse("600x6x4", 80, 0) == SIZE


@pytest.mark.parametrize("method", ["logistic", "domainvi"])
def test_a_size_is_measured(tmp_path, monkeypatch, method):
    monkeypatch.setattr("domainvi.model._training.MOST_EPOCHS", 2)
    planted_atlas(SIZE, EASY).write_h5ad(tmp_path / "atlas.h5ad")
    found = measure(tmp_path / "atlas.h5ad", method, 0, backed=False)
    assert found["macro_f1"] > 0.5
    assert found["fit"] > found.get("before", 0.0) >= 0
    assert found["peak"] >= found["data_alone"] > 0
    if method == "domainvi":
        assert found["annotate"] > 0
        assert found["peak"] >= found["peak_annotate"] > 0


def test_what_is_written_is_what_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.atlas.planted.BLOCK", 90)
    monkeypatch.setattr("benchmarks.atlas.planted.WRITTEN", 2)
    adata = planted_atlas(SIZE)
    write_atlas(tmp_path / "atlas.h5ad", SIZE)
    found = ad.read_h5ad(tmp_path / "atlas.h5ad")
    assert (found.X != adata.X).nnz == 0
    assert found.obs.equals(adata.obs)
