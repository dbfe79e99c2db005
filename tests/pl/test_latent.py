"""UMAPs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import domainvi as dv
from domainvi.errors import InputError

if TYPE_CHECKING:
    import anndata as ad


def test_every_row_is_drawn_before_and_after(annotated: ad.AnnData) -> None:
    before = annotated.copy()
    axes = dv.pl.latent(annotated)
    assert axes.shape == (2, 2)
    titles = [a.get_title().split("\n") for a in axes.flat]
    assert [t[0].split(":")[0] for t in titles] == ["before", "after"] * 2
    assert [t[1] for t in titles[::2]] == ["coloured by cohort", "coloured by kind_pred"]
    points = [a.collections[0].get_offsets() for a in axes.flat]
    assert {len(p) for p in points} == {40}
    np.testing.assert_array_equal(points[0], points[2])
    assert not np.allclose(points[0], points[1])
    legends = [[t.get_text() for t in a.get_legend().texts] for a in axes[:, 1]]
    assert legends == [["x", "y"], ["a", "b"]]
    assert set(annotated.obsm) == set(before.obsm)
    assert set(annotated.uns) == set(before.uns)
    assert list(annotated.obs) == list(before.obs)


def test_a_query_without_its_cohort_column(annotated: ad.AnnData) -> None:
    del annotated.obs["cohort"]
    axes = dv.pl.latent(annotated, "truth")
    assert axes.shape == (1, 2)
    with pytest.raises(InputError, match="color='cohort' is not a column"):
        dv.pl.latent(annotated, ["truth", "cohort"])
    with pytest.raises(InputError, match="color names no column"):
        dv.pl.latent(annotated, [])
