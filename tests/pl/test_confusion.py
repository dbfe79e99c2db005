"""The table of true and predicted classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib import rc_context

import domainvi as dv
from domainvi.errors import InputError

if TYPE_CHECKING:
    import anndata as ad
    from matplotlib.axes import Axes


def names(axes: Axes, which: str) -> list[str]:
    return [tick.get_text() for tick in getattr(axes, f"get_{which}ticklabels")()]


def test_cells_hold_counts_and_shades_hold_shares(annotated: ad.AnnData) -> None:
    query = annotated[annotated.obs["cohort"] == "y"]
    axes = dv.pl.confusion(query, "truth", "kind_pred")
    assert names(axes, "y") == ["a (n = 10)", "b (n = 10)"]
    assert names(axes, "x") == ["a", "b"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[1, 0], [0.4, 0.6]])
    assert [text.get_text() for text in axes.texts] == ["10", "", "4", "6"]
    # F1 of a is 20/24 and of b 12/16.
    assert axes.get_title() == "macro-F1 0.79, balanced accuracy 0.80"


def test_rows_without_a_class_are_left_out_and_unknown_is_a_column(annotated: ad.AnnData) -> None:
    annotated.obs["truth"] = annotated.obs["truth"].astype(object)
    annotated.obs.loc["row0", "truth"] = None
    annotated.obs.loc["row1", "truth"] = "Unknown"
    annotated.obs.loc["row2", "kind_pred"] = "Unknown"
    axes = dv.pl.confusion(annotated, "truth", "kind_pred")
    assert names(axes, "y") == ["a (n = 23)", "b (n = 15)"]
    assert names(axes, "x") == ["a", "b", "Unknown"]
    assert [text.get_text() for text in axes.texts] == ["22", "", "1", "4", "11", ""]


def test_prediction_of_the_column_is_the_default(annotated: ad.AnnData) -> None:
    axes = dv.pl.confusion(annotated, "kind")
    assert axes.get_xlabel() == "predicted (kind_pred)"
    assert names(axes, "y") == ["a (n = 15)", "b (n = 5)"]


def test_a_large_table_has_no_text(annotated: ad.AnnData) -> None:
    annotated.obs["many"] = [f"a class called {i % 21}" for i in range(40)]
    axes = dv.pl.confusion(annotated, "many", "many")
    assert len(axes.texts) == 0
    assert len(names(axes, "x")) == 21
    assert axes.get_xticklabels()[0].get_rotation() == 40


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        (("kin",), "truth='kin' is not a column"),
        (("truth",), "predicted='truth_pred' is not a column"),
        (("nobody", "kind_pred"), "No row has both"),
    ],
)
def test_what_is_missing_is_named(annotated: ad.AnnData, keys: tuple[str, ...], match: str) -> None:
    annotated.obs["nobody"] = "Unknown"
    with pytest.raises(InputError, match=match):
        dv.pl.confusion(annotated, *keys)


def test_a_grid_that_the_style_asks_for_is_not_drawn_over_the_table(annotated: ad.AnnData) -> None:
    with rc_context({"axes.grid": True}):
        axes = dv.pl.confusion(annotated, "truth", "kind_pred")
    lines = [*axes.get_xgridlines(), *axes.get_ygridlines()]
    assert lines
    assert not any(line.get_visible() for line in lines)
