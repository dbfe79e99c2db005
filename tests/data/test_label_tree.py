"""Trees of labels: what columns and parents mean, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from domainvi.data import LabelTree, find_tree
from domainvi.errors import InputError

COLUMNS = {
    "lineage": ["T", "T", "T", "B", "B", "B", "MK", "MK", None, "T", "Unknown", "B"],
    "type": ["CD4", "CD8", None, "B", "plasma", None, None, "n/a", "CD4", "CD4", None, "plasma"],
}
CLASSES = ["B", "CD4", "CD8", "MK", "plasma"]
PARENTS = {"CD4": "T", "CD8": "T", "T": "lymphoid", "naive B": "B", "plasma": "B", "B": "lymphoid"}


@pytest.fixture
def obs() -> pd.DataFrame:
    return pd.DataFrame(COLUMNS)


@pytest.fixture
def tree(obs: pd.DataFrame) -> LabelTree:
    return find_tree(obs, ["lineage", "type"], None, "Unknown")


def test_columns_make_a_tree(tree: LabelTree) -> None:
    assert tree.paths == {
        "B": ("B", "B"),
        "CD4": ("T", "CD4"),
        "CD8": ("T", "CD8"),
        "MK": ("MK", "MK"),
        "plasma": ("B", "plasma"),
    }
    assert LabelTree.from_dict(tree.to_dict()) == tree


def test_a_coarse_name_is_a_class_only_where_its_branch_ends(
    tree: LabelTree, obs: pd.DataFrame
) -> None:
    expected = ["CD4", "CD8", None, "B", "plasma", None, "MK", "MK", "CD4", "CD4", None, "plasma"]
    assert tree.classes_of(obs, "Unknown").tolist() == expected


def test_coarse_labels_leave_some_classes_open(tree: LabelTree, obs: pd.DataFrame) -> None:
    code, sets = tree.possible(obs, CLASSES, "Unknown")
    open_to = [{c for c, m in zip(CLASSES, sets[i], strict=True) if m} for i in code]
    everything = set(CLASSES)
    assert [s if s != everything else "all" for s in open_to] == [
        *("all", "all", {"CD4", "CD8"}, "all", "all", {"B", "plasma"}),
        *["all"] * 6,
    ]
    assert tree.possible(obs.iloc[:2], CLASSES, "Unknown") is None
    # A lineage that the model does not know says nothing.
    strange = pd.DataFrame({"lineage": ["HSC"], "type": [None]})
    assert tree.possible(strange, CLASSES, "Unknown") is None


def test_parents_make_the_same_tree_as_columns() -> None:
    obs = pd.DataFrame({"y": ["CD4", "CD8", "T", "naive B", "plasma", "B", "MK", "lymphoid", None]})
    with pytest.warns(UserWarning, match="does not have 1 of 8 names.*'MK'; each stands by itself"):
        tree = find_tree(obs, ["y"], PARENTS, "Unknown")
    assert tree.levels == ("y_level_1", "y_level_2", "y")
    assert tree.paths["CD4"] == ("lymphoid", "T", "CD4")
    assert tree.paths["MK"] == ("MK", "MK", "MK")
    frame = pd.DataFrame({"child": list(PARENTS), "parent": list(PARENTS.values())})
    with pytest.warns(UserWarning, match="MK"):
        from_frame = find_tree(obs, ["y"], frame, "Unknown")
    assert from_frame == tree
    assert tree.classes_of(obs, "Unknown").tolist() == [
        *("CD4", "CD8", None, "naive B", "plasma", None, "MK", None, None)
    ]
    code, sets = tree.possible(obs, sorted(tree.paths), "Unknown")
    assert [int(sets[i].sum()) for i in code] == [5, 5, 2, 5, 5, 2, 5, 4, 5]
    spread = pd.DataFrame(
        {
            "a": ["lymphoid", "lymphoid", "lymphoid", "MK"],
            "b": ["T", "T", "B", None],
            "c": ["CD4", "CD8", "plasma", None],
        }
    )
    by_columns = find_tree(spread, ["a", "b", "c"], None, "Unknown")
    assert by_columns.paths["CD4"] == tree.paths["CD4"]


def test_levels_may_be_skipped() -> None:
    obs = pd.DataFrame(
        {"a": ["T", "T", "B"], "b": [None, "CD4", None], "c": ["gd", "CD4 naive", "plasma"]}
    )
    assert find_tree(obs, ["a", "b", "c"], None, "Unknown").paths == {
        "gd": ("T", "gd", "gd"),
        "CD4 naive": ("T", "CD4", "CD4 naive"),
        "plasma": ("B", "plasma", "plasma"),
    }


def test_a_slip_among_many_rows_is_outvoted() -> None:
    obs = pd.DataFrame({"a": ["T"] * 30 + ["B"] * 30, "b": ["CD4"] * 29 + ["plasma"] * 31})
    with pytest.warns(UserWarning, match="1 of 31 rows of b 'plasma' stand under another name"):
        tree = find_tree(obs, ["a", "b"], None, "Unknown")
    assert tree.paths["plasma"] == ("B", "plasma")


@pytest.mark.parametrize("root", ["", " ", "T", "Unknown", "n.a.", None, np.nan])
def test_roots_that_are_written_out_have_no_parent(root: Any) -> None:
    obs = pd.DataFrame({"y": ["CD4", "CD8\u200b", "CD8"]})
    written = {"CD4\u200b": "T", "CD8": "T\u200b", "T": root}
    plain = find_tree(obs, ["y"], {"CD4": "T", "CD8": "T"}, "Unknown")
    assert plain.paths == {"CD4": ("T", "CD4"), "CD8": ("T", "CD8")}
    assert find_tree(obs, ["y"], written, "Unknown") == plain
    frame = pd.DataFrame(written.items())
    assert find_tree(obs, ["y"], frame, "Unknown") == plain


def test_what_is_no_tree_is_refused() -> None:
    two = pd.DataFrame({"a": ["T", "T", "B", "B"], "b": ["other", "CD4", "other", "plasma"]})
    with pytest.raises(InputError, match=r"b 'other' stands under 2 names of a: .*Name it apart"):
        find_tree(two, ["a", "b"], None, "Unknown")
    clash = pd.DataFrame({"a": ["T", "NK"], "b": ["NK", None]})
    with pytest.raises(InputError, match="'NK' is a class under 'NK' and under 'T'"):
        find_tree(clash, ["a", "b"], None, "Unknown")
    obs = pd.DataFrame({"y": ["a", "b"]})
    with pytest.raises(InputError, match="circle: a < b < a"):
        find_tree(obs, ["y"], {"a": "b", "b": "a"}, "Unknown")
    with pytest.raises(InputError, match="a parent for none of the 2 names"):
        find_tree(obs, ["y"], {"c": "d"}, "Unknown")
    with pytest.raises(InputError, match="two parents, 'x' and 'z'"):
        find_tree(obs, ["y"], pd.DataFrame([("a", "x"), ("a", "z")]), "Unknown")
    with pytest.raises(InputError, match="label_tree is a list"):
        find_tree(obs, ["y"], [("a", "x")], "Unknown")


def test_probabilities_agree_along_the_path(tree: LabelTree) -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5), size=200)
    names, sums = tree.path(p, CLASSES)
    for row, total, own in zip(names, sums, p, strict=True):
        inside = [i for i, c in enumerate(CLASSES) if tree.paths[c][0] == row[0]]
        assert row[1] in {tree.paths[CLASSES[i]][1] for i in inside}
        assert total[0] == pytest.approx(own[inside].sum())
        assert total[1] == pytest.approx(own[CLASSES.index(row[1])])
        assert total[1] <= total[0] + 1e-12
    coarse = p @ tree.membership(0, CLASSES)
    assert (coarse.argmax(axis=1) == [tree.names(0, CLASSES).index(n) for n in names[:, 0]]).all()


@pytest.mark.parametrize(
    ("confidence", "name", "level"),
    [(0.5, "CD4", 1), (0.8, "T", 0), (1.0, "T", 0), (None, "CD4", 1)],
)
def test_rows_are_named_as_finely_as_they_are_sure_of(
    tree: LabelTree, confidence: float | None, name: str, level: int
) -> None:
    p = np.array([[0.05, 0.6, 0.3, 0.0, 0.05]])
    names, sums, at = tree.named(p, CLASSES, confidence)
    assert (names[0], at[0]) == (name, level)
    assert sums[0] == pytest.approx(0.9 if level == 0 else 0.6)


@pytest.mark.parametrize("confidence", [0.5, 0.8])
def test_an_only_child_does_not_give_way_to_its_parent(confidence: float) -> None:
    paths = {"CRC": ("colon", "CRC"), "KIRC": ("kidney", "KIRC"), "KIRP": ("kidney", "KIRP")}
    tree = LabelTree(("site", "type"), paths)
    p = np.array([[0.45, 0.3, 0.25], [0.3, 0.4, 0.3], [0.6, 0.4, 0.0], [0.3, 0.7, 0.0]])
    names, sums, at = tree.named(p, list(paths), confidence)
    assert names.tolist() == ["kidney", "kidney", "CRC", "KIRC"]
    assert at.tolist() == [0, 0, 1, 1]
    assert sums.tolist() == pytest.approx([0.55, 0.7, 0.6, 0.7])
