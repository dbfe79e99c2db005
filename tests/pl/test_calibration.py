"""The reliability diagram against figures worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import domainvi as dv
from domainvi.errors import InputError

if TYPE_CHECKING:
    import anndata as ad
    from matplotlib.axes import Axes


def legend(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().texts]


def test_points_and_counts_of_the_query(annotated: ad.AnnData) -> None:
    query = annotated[annotated.obs["cohort"] == "y"]
    axes = dv.pl.calibration(query, "truth")
    # .65 is always right (6 rows), .85 never (4), .95 always (10).
    points = axes.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(points, [(0.65, 1), (0.85, 0), (0.95, 1)], atol=1e-6)
    expected = (6 * 0.35 + 4 * 0.85 + 10 * 0.05) / 20
    assert legend(axes) == [f"all rows: ECE {expected:.2f}, n = 20"]
    (bars,) = axes.child_axes
    heights = {round(p.get_x(), 1): p.get_height() for p in bars.patches if p.get_height()}
    assert heights == {0.6: 6, 0.8: 4, 0.9: 10}
    assert bars.get_xlabel() == "confidence"


def test_intervals_are_wilsons(annotated: ad.AnnData) -> None:
    query = annotated[annotated.obs["cohort"] == "y"]
    (bars,) = dv.pl.calibration(query, "truth").containers[0].lines[2]
    low, high = bars.get_segments()[0][:, 1]
    z2 = 1.959964**2
    assert low == pytest.approx(6 / (6 + z2), rel=1e-4)
    assert high == pytest.approx(1)


def test_a_curve_for_each_cohort(annotated: ad.AnnData) -> None:
    axes = dv.pl.calibration(annotated, "truth", by="cohort")
    assert [line.split(":")[0] for line in legend(axes)] == ["x", "y"]
    assert len(axes.containers) == 2
    assert sum(p.get_height() for p in axes.child_axes[0].patches) == pytest.approx(40)


def test_labels_themselves_are_the_default_truth(annotated: ad.AnnData) -> None:
    assert legend(dv.pl.calibration(annotated)) == ["all rows: ECE 0.01, n = 20"]


def test_what_is_missing_is_named(annotated: ad.AnnData) -> None:
    annotated.obs["other"] = "c"
    with pytest.raises(InputError, match="No row has a class that the model knows"):
        dv.pl.calibration(annotated, "other")
    with pytest.raises(InputError, match="by='site' is not a column"):
        dv.pl.calibration(annotated, by="site")
    del annotated.uns["domainvi"]
    with pytest.raises(InputError, match="annotate"):
        dv.pl.calibration(annotated)
