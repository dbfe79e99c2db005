"""The audit on AnnData: every form of labels and values, and nothing written."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from domainvi.errors import InputError
from domainvi.tl import audit_confounding


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    cohort = np.repeat(["x", "y"], 60)
    label = np.tile(["a", "b", "Unknown"], 40)
    counts = rng.poisson(5.0 + 60 * (cohort == "y")[:, None] * (np.arange(30) < 5), size=(120, 30))
    return ad.AnnData(
        counts.astype(np.float32),
        obs=pd.DataFrame(
            {"cohort": cohort, "label": label}, index=[f"s{i}" for i in range(120)]
        ).astype("category"),
        layers={"log": np.log1p(counts).astype(np.float32)},
    )


def audit(adata, **kwargs):
    return audit_confounding(adata, **({"batch_key": "cohort", "labels_key": "label"} | kwargs))


def test_counts_and_names(adata):
    found = audit(adata)
    assert found.domains == ("x", "y")
    assert found.classes == ("a", "b")
    assert found.table.tolist() == [[20, 20], [20, 20]]
    assert found.n_unlabelled.tolist() == [20, 20]
    assert found.verdict == "alignment allowed"
    assert found.probe.within_class > 0.85


@pytest.mark.parametrize("form", ["columns", "one column"])
def test_labels_of_a_coarser_level(adata, form):
    obs = adata.obs.astype(str)
    obs["broad"] = obs["label"].map({"a": "all", "b": "all"})
    is_y = obs["cohort"] == "y"
    obs.loc[is_y, "label"] = None if form == "columns" else obs.loc[is_y, "broad"]
    # A third class, so that the coarser name leaves some classes open, and not all.
    obs.loc[["s0", "s3", "s6"], ["label", "broad"]] = ["c", "c"]
    adata.obs = obs
    tree = {"labels_key": ["broad", "label"]}
    if form == "one column":
        tree = {"label_tree": {"a": "all", "b": "all", "c": "rest"}}
    found = audit(adata, **tree)
    assert found.classes == ("a", "b", "c")
    assert found.n_coarse.tolist() == [0, 40]
    assert found.n_unlabelled.tolist() == [20, 20]
    assert "(coarser ones: y)" in found.sentence


def test_nothing_is_written(adata):
    before = adata.copy()
    audit(adata)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    np.testing.assert_array_equal(adata.X, before.X)
    assert (adata.uns, list(adata.obsm)) == ({}, [])


def test_missing_values_and_plain_strings_are_unlabelled_rows_and_classes(adata):
    expected = audit(adata).table
    adata.obs["label"] = adata.obs["label"].astype(object)
    np.testing.assert_array_equal(audit(adata).table, expected)
    adata.obs.loc[adata.obs["label"] == "Unknown", "label"] = None
    np.testing.assert_array_equal(audit(adata).table, expected)


def test_another_unlabelled_category(adata):
    adata.obs["label"] = adata.obs["label"].cat.rename_categories({"Unknown": "none given"})
    assert audit(adata, unlabeled_category="none given").classes == ("a", "b")
    assert set(audit(adata).classes) == {"a", "b", "none given"}


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, np.asarray])
def test_every_format_gives_one_result(adata, form):
    expected = audit(adata).probe
    adata.X = form(adata.X)
    assert audit(adata).probe == expected


def test_a_view_a_layer_and_a_backed_file(adata, tmp_path):
    view = adata[adata.obs["cohort"] == adata.obs["cohort"]]
    expected = audit(adata)
    assert audit(view).probe == expected.probe
    assert audit(adata, layer="log").probe.within_class > 0.85
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert audit(backed).probe == expected.probe
    backed.file.close()


def test_without_values_there_is_no_probe(adata):
    bare = ad.AnnData(obs=adata.obs)
    found = audit(bare)
    assert found.probe is None
    assert found.verdict == "alignment allowed"


def test_unused_categories_are_left_out(adata):
    adata.obs["label"] = adata.obs["label"].cat.add_categories(["c"])
    with pytest.warns(UserWarning, match="left out"):
        assert audit(adata).classes == ("a", "b")


def test_what_training_would_refuse_is_refused(adata):
    with pytest.raises(InputError, match="one class, 'a'"):
        audit(adata[adata.obs["label"] != "b"])
    with pytest.raises(InputError, match="one role"):
        audit(adata, labels_key="cohort")


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"batch_key": "batch"}, "batch_key='batch' is not a column"),
        ({"labels_key": "type"}, "labels_key='type' is not a column"),
        ({"layer": "raw"}, "layer='raw'"),
    ],
)
def test_missing_columns_and_layers_are_named(adata, kwargs, match):
    with pytest.raises(InputError, match=match):
        audit(adata, **kwargs)


def test_one_domain_and_no_label_are_refused(adata):
    with pytest.raises(InputError, match="names one cohort, 'x', in all"):
        audit(adata[adata.obs["cohort"] == "x"])
    with pytest.raises(InputError, match="labels none of the 40 rows"):
        audit(adata[adata.obs["label"] == "Unknown"])


def test_values_that_are_not_finite_are_refused(adata):
    adata.X[3, 4] = np.nan
    with pytest.raises(InputError, match="1 values that are NaN"):
        audit(adata)
