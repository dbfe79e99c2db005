"""What all plots share: the user's axes, windows, files, colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import domainvi as dv
from domainvi.errors import InputError
from domainvi.pl._canvas import class_colours, palette

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad


def test_every_plot_is_public() -> None:
    expected = {"audit", "benchmark", "calibration", "confusion", "label_flow", "latent"}
    assert expected | {"training_curves"} <= set(dv.pl.__all__)


def test_own_axes_are_drawn_on_and_returned(annotated: ad.AnnData) -> None:
    figure, (left, right) = plt.subplots(1, 2)
    assert dv.pl.confusion(annotated, "truth", "kind_pred", ax=right) is right
    assert right.images
    assert not left.has_data()
    assert plt.get_fignums() == [figure.number]


def test_wrong_number_of_axes_is_refused(annotated: ad.AnnData) -> None:
    _, axes = plt.subplots(1, 3)
    with pytest.raises(InputError, match="ax holds 3 axes; this plot draws on 1"):
        dv.pl.label_flow(annotated, ax=axes)


@pytest.mark.parametrize("name", ["plot.png", "plot.pdf"])
def test_save_writes_the_file(annotated: ad.AnnData, tmp_path: Path, name: str) -> None:
    dv.pl.label_flow(annotated, save=tmp_path / name)
    assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.parametrize(("show", "calls"), [(True, 1), (False, 0), (None, 0)])
def test_window_opens_when_told(
    annotated: ad.AnnData, monkeypatch: pytest.MonkeyPatch, show: bool | None, calls: int
) -> None:
    opened = []
    monkeypatch.setattr(plt, "show", lambda: opened.append(1))
    dv.pl.confusion(annotated, "truth", "kind_pred", show=show)
    assert len(opened) == calls


def test_a_backend_with_windows_shows_new_figures_only(
    annotated: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(plt, "show", lambda: opened.append(1))
    figure, axes = plt.subplots()
    canvas_class = type(figure.canvas)
    monkeypatch.setattr(canvas_class, "required_interactive_framework", "qt")
    dv.pl.confusion(annotated, "truth", "kind_pred", ax=axes)
    assert opened == []
    dv.pl.confusion(annotated, "truth", "kind_pred")
    assert opened == [1]


@pytest.mark.parametrize("n", [3, 8, 9, 21, 40])
def test_each_name_has_a_colour_of_its_own(n: int) -> None:
    colours = palette([str(i) for i in range(n)])
    assert len({to_rgb(c) for c in colours.values()}) == n


def test_colours_of_the_object_are_kept(annotated: ad.AnnData) -> None:
    annotated.uns["kind_pred_colors"] = np.array(["#111111", "#222222", "#333333"])
    assert class_colours(annotated, "kind_pred", ["b", "a"]) == {"b": "#222222", "a": "#111111"}
    assert class_colours(annotated, "kind_pred", ["a", "new"])["a"] == palette(["a"])["a"]
