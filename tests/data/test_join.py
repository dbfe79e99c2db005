"""Several references in one object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.errors import GeneMatchError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad


@pytest.fixture
def parts(make_adata: Callable[..., ad.AnnData]) -> dict[str, ad.AnnData]:
    """Two references with half of one draw each, the genes of the second turned round."""
    both = make_adata(hidden=())
    return {"one": both[:60].copy(), "two": both[60:, ::-1].copy()}


def test_genes_are_those_of_all_in_the_order_of_the_first(parts) -> None:
    three = parts["one"][:, 3:15].copy()
    three.obs_names = [f"other {name}" for name in three.obs_names]
    joined = dv.data.join_references({**parts, "three": three}, labels_key="label")
    assert joined.var_names.tolist() == parts["one"].var_names[3:15].tolist()
    assert joined.obs["cohort"].tolist() == ["one"] * 60 + ["two"] * 60 + ["three"] * 60
    for name, part in (*parts.items(), ("three", three)):
        own = joined[joined.obs["cohort"] == name]
        np.testing.assert_array_equal(own.X, part[:, joined.var_names].X)
        assert own.obs["label"].tolist() == part.obs["label"].tolist()
        assert own.obs_names.tolist() == part.obs_names.tolist()


def test_inputs_are_left_alone(parts) -> None:
    before = {name: part.copy() for name, part in parts.items()}
    dv.data.join_references(parts, labels_key="label", label_map={"a": "c"})
    for name, part in parts.items():
        pd.testing.assert_frame_equal(part.obs, before[name].obs)
        np.testing.assert_array_equal(part.X, before[name].X)


def test_cohorts_are_columns_where_there_are_some(parts) -> None:
    parts["two"].obs = parts["two"].obs.drop(columns="cohort")
    joined = dv.data.join_references(parts, labels_key="label", batch_key="cohort")
    assert joined.obs["cohort"].value_counts().to_dict() == {"x": 30, "y": 30, "two": 60}
    # A reference that is called like a cohort of another is a cohort of its own.
    named = {"one": parts["one"], "x": parts["two"]}
    joined = dv.data.join_references(named, labels_key="label", batch_key="cohort")
    assert joined.obs["cohort"].unique().tolist() == ["x", "y", "x (reference)"]


def test_rows_of_one_name_are_told_apart(parts, caplog) -> None:
    parts["two"].obs_names = parts["one"].obs_names
    joined = dv.data.join_references(parts, labels_key="label")
    assert joined.obs_names.is_unique
    assert joined.obs_names[0] == "row0-one"
    assert "60 names of rows stand in several references, for instance row0" in caplog.text


def test_a_map_renames_and_unlabels(parts, caplog) -> None:
    frame = pd.DataFrame(
        {"label": ["a", "a", "b", "z"], "name": ["A", "B", "", "Z"]},
    ).assign(reference=["", "two", "two", ""])
    joined = dv.data.join_references(parts, labels_key="label", label_map=frame)
    found = joined.obs["label"].astype(object).groupby(joined.obs["cohort"])
    assert {name: set(own.dropna()) for name, own in found} == {"one": {"A", "b"}, "two": {"B"}}
    both = frame.assign(reference="")
    with pytest.raises(InputError, match="gives 'a' 2 names: 'A', 'B'"):
        dv.data.join_references(parts, labels_key="label", label_map=both)
    with pytest.raises(InputError, match="references that are not there: 'three'"):
        dv.data.join_references(
            parts, labels_key="label", label_map=frame.assign(reference="three")
        )
    assert "1 of 3 labels in label_map are in no reference: 'z'" in caplog.text


@pytest.mark.parametrize("written", ["{}", "{}.0"])
def test_codes_with_gaps_are_those_without(parts, written) -> None:
    parts["one"].obs["label"] = np.tile([1, 2], 30)
    parts["two"].obs["label"] = np.tile([1, np.nan, 2], 20)
    names = {written.format(code): name for code, name in ((1, "A"), (2, "B"))}
    joined = dv.data.join_references(parts, labels_key="label", label_map=names)
    assert joined.obs["label"].value_counts().to_dict() == {"A": 50, "B": 50}
    by_number = {float(code): name for code, name in names.items()}
    again = dv.data.join_references(parts, labels_key="label", label_map=by_number)
    pd.testing.assert_frame_equal(again.obs, joined.obs)
    for which in names:
        with pytest.raises(InputError, match="one: labels_key='label' holds numbers"):
            dv.data.join_references(parts, labels_key="label", label_map={which: names[which]})


def test_coarse_labels_stand_in_for_the_phenotype(parts, caplog) -> None:
    parts["one"].obs["lineage"] = parts["one"].obs["label"].map({"a": "up", "b": "down"})
    parts["two"].obs = pd.DataFrame({"lineage": "up", "age": 3.0}, index=parts["two"].obs_names)
    with pytest.raises(InputError, match="two: labels_key='label' is not a column"):
        dv.data.join_references(parts, labels_key=["label", "label"])
    unlabelled = dv.data.join_references(parts, labels_key="label").obs
    assert unlabelled["label"].isna().tolist() == (unlabelled["cohort"] == "two").tolist()
    assert "obs of two has no column 'label'" in caplog.text
    joined = dv.data.join_references(
        parts, labels_key="label", coarse_keys=["lineage"], columns=["age"]
    )
    two = joined.obs[joined.obs["cohort"] == "two"]
    assert two["label"].isna().all()
    assert (two["lineage"] == "up").all()
    assert (two["age"] == 3).all()
    dv.DomainVI.setup_anndata(joined, batch_key="cohort", labels_key=["lineage", "label"])
    with pytest.raises(InputError, match="labels_key='lable' is not a column"):
        dv.data.join_references(parts, labels_key="lable", coarse_keys=["lineage"])
    with pytest.raises(InputError, match="columns='sex' is not a column"):
        dv.data.join_references(parts, labels_key="lineage", columns=["sex"])


def test_genes_by_other_names_and_sparse_counts_beside_dense(make_adata) -> None:
    dense, sparse = make_adata(counts=True), make_adata(counts=True, csr=True)
    sparse.var["symbol"] = sparse.var_names
    sparse.var_names = [f"ENSG{i:011d}.2" for i in range(sparse.n_vars)]
    sparse.obs_names = [f"other {name}" for name in sparse.obs_names]
    sparse.layers["raw"], dense.layers["raw"] = sparse.X, dense.X
    joined = dv.data.join_references(
        {"dense": dense, "sparse": sparse}, labels_key="label", layer="raw"
    )
    assert joined.shape == (240, 20)
    values = np.asarray(joined.X.todense() if hasattr(joined.X, "todense") else joined.X)
    np.testing.assert_array_equal(values[:120], values[120:])


def test_refusals(parts, make_adata) -> None:
    with pytest.raises(InputError, match="'one' and 'two' are one object"):
        dv.data.join_references({"one": parts["one"], "two": parts["one"]}, labels_key="label")
    with pytest.raises(InputError, match="nothing to join"):
        dv.data.join_references({}, labels_key="label")
    with pytest.raises(InputError, match="3 columns of labels for 2 references"):
        dv.data.join_references(parts, labels_key=["label"] * 3)
    for key in ("cohort", "label"):
        chosen = {"batch_key": None if key == "cohort" else key, "labels_key": "age"}
        for part in parts.values():
            part.obs["age"] = "old"
        for given in ({"labels_key": key}, {"columns": [key]}, {"coarse_keys": [key]}):
            with pytest.raises(InputError, match=f"names '{key}', the column of cohorts"):
                dv.data.join_references(parts, **chosen | given)
    counts = make_adata(counts=True)
    with pytest.raises(InputError, match="one holds values that are no counts and counts counts"):
        dv.data.join_references({"one": parts["one"], "counts": counts}, labels_key="label")
    few = parts["two"][:, :4].copy()
    with pytest.raises(GeneMatchError, match="two, beside one: .* 4 of the 20 reference genes"):
        dv.data.join_references({"one": parts["one"], "two": few}, labels_key="label")
    joined = dv.data.join_references(
        {"one": parts["one"], "two": few}, labels_key="label", min_genes=4
    )
    assert joined.n_vars == 4
    parts["two"].X[0, 0] = np.nan
    with pytest.raises(InputError, match="two: adata.X has 1"):
        dv.data.join_references(parts, labels_key="label")
