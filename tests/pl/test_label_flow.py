"""Blocks and ribbons as wide as there are rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.patches import PathPatch, Rectangle

import domainvi as dv
from domainvi.errors import InputError
from domainvi.pl._label_flow import spread

if TYPE_CHECKING:
    import anndata as ad
    from matplotlib.axes import Axes


def blocks(axes: Axes) -> dict[int, list[float]]:
    """Heights of the blocks by place, as shares of their stack."""
    out: dict[int, list[float]] = {}
    for patch in axes.patches:
        if isinstance(patch, Rectangle):
            out.setdefault(round(patch.get_x() + patch.get_width() / 2), []).append(
                patch.get_height()
            )
    return {place: (np.array(h) / np.sum(h)).tolist() for place, h in out.items()}


def ribbons(axes: Axes) -> list[PathPatch]:
    return [patch for patch in axes.patches if isinstance(patch, PathPatch)]


def test_class_mix_of_reference_and_query(annotated: ad.AnnData) -> None:
    axes = dv.pl.label_flow(annotated)
    assert blocks(axes) == {
        0: pytest.approx([0.75, 0.25]),
        1: pytest.approx([0.7, 0.3]),
    }
    assert len(ribbons(axes)) == 2
    labels = [text.get_text() for text in axes.texts]
    assert labels == ["a  75%", "b  25%", "a  70%", "b  30%"]
    titles = [tick.get_text() for tick in axes.get_xticklabels()]
    assert titles == ["reference\n20 rows", "query, predicted\n20 rows"]


def test_truth_is_a_third_stack_and_errors_cross(annotated: ad.AnnData) -> None:
    axes = dv.pl.label_flow(annotated, "truth")
    assert blocks(axes)[2] == pytest.approx([0.5, 0.5])
    # Two between the same classes; then a to a, a to b (the errors) and b to b.
    assert len(ribbons(axes)) == 5
    crossing = ribbons(axes)[3].get_path().vertices
    left = crossing[-1, 1] - crossing[0, 1]
    stack = sum(p.get_height() for p in axes.patches if isinstance(p, Rectangle)) / 3
    assert left / stack == pytest.approx(4 / 20)


def test_unknown_comes_from_nowhere(annotated: ad.AnnData) -> None:
    annotated.obs.loc[["row38", "row39"], "kind_pred"] = "Unknown"
    axes = dv.pl.label_flow(annotated)
    assert blocks(axes)[1] == pytest.approx([0.6, 0.3, 0.1])
    assert len(ribbons(axes)) == 2
    assert axes.texts[-1].get_text() == "Unknown  10%"


def test_a_query_by_itself_takes_a_reference(annotated: ad.AnnData) -> None:
    reference = annotated[annotated.obs["cohort"] == "x"]
    query = annotated[annotated.obs["cohort"] == "y"]
    assert blocks(dv.pl.label_flow(query, reference=reference)) == blocks(
        dv.pl.label_flow(annotated)
    )
    with pytest.raises(InputError, match="0 rows are labelled and 20 are to be"):
        dv.pl.label_flow(query)


def test_labels_are_moved_apart() -> None:
    np.testing.assert_allclose(spread(np.array([0.1, 0.11, 0.5]), 0.05), [0.1, 0.15, 0.5])
    np.testing.assert_allclose(spread(np.array([0.9, 0.99, 0.995]), 0.05), [0.9, 0.95, 1.0])
