"""The parts that plots share: axes, colours that most readers can tell apart, tables, legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colormaps
from matplotlib.layout_engine import ConstrainedLayoutEngine

import domainvi._keys as keys
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Drawn = TypeVar("Drawn")

# Okabe and Ito (2008), the eight that are told apart with any colour vision.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
# Yellow and black last: the one is faint on white, the other looks like text.
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW, BLACK)
GREY = "#999999"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")

_DPI = 150
# Inches under which two columns of a legend would reach into the next axes.
_NARROW = 3.5
# Cells with text in them; beyond, the text would be too small to read.
_MOST_TEXT = 20
_CELL = 0.5


def canvas(ax: Axes | Sequence[Axes] | None, figsize: tuple[float, float]) -> Any:
    """Return the axes to draw on: the user's, or those of a new figure."""
    return canvases(ax, (1, 1), figsize)[0, 0]


def canvases(
    ax: Axes | Sequence[Axes] | NDArray[np.object_] | None,
    shape: tuple[int, int],
    figsize: tuple[float, float],
    **grid: Any,
) -> NDArray[np.object_]:
    """Return an array of axes to draw on, of the given shape; refuse another number of axes."""
    if ax is None:
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
        _, axes = plt.subplots(*shape, figsize=figsize, layout=layout, squeeze=False, **grid)
        return np.asarray(axes, dtype=object)
    given = np.asarray(ax, dtype=object).ravel()
    if given.size != shape[0] * shape[1]:
        msg = f"ax holds {given.size} axes; this plot draws on {shape[0] * shape[1]}."
        raise InputError(msg)
    return given.reshape(shape)


def finish(axes: Drawn, given: Any, show: bool | None, save: str | Path | None) -> Drawn:
    """Save and show the figure of one or several axes, and return these.

    ``given`` is what the user passed as ``ax``: their own figure is shown only when they say so.
    Notebooks show figures by themselves.
    """
    figure: Figure = np.ravel(np.asarray(axes, dtype=object))[0].get_figure(root=True)
    if save is not None:
        figure.savefig(save, dpi=_DPI, bbox_inches="tight")
    if show is None:
        show = given is None and figure.canvas.required_interactive_framework is not None
    if show:
        plt.show()
    return axes


def tidy(axes: Axes) -> None:
    """Take away what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def legend_above(axes: Axes, **arguments: Any) -> None:
    """Put the legend over the axes, where it covers nothing; in one column over narrow ones."""
    figure: Figure = axes.get_figure(root=True)  # type: ignore[assignment]
    if axes.get_window_extent().width / figure.dpi < _NARROW:
        arguments["ncols"] = 1
    where: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
    axes.legend(**where, frameon=False, fontsize="small", **arguments)


def palette(names: Sequence[str]) -> dict[str, str]:
    """Give each name a colour: Okabe and Ito's for up to eight, scanpy's long lists for more."""
    if len(names) <= len(SERIES):
        return dict(zip(names, SERIES, strict=False))
    from scanpy.plotting import palettes

    long = next(
        (p for p in (palettes.default_20, palettes.default_28) if len(names) <= len(p)),
        palettes.default_102,
    )
    return {name: long[i % len(long)] for i, name in enumerate(names)}


def class_colours(adata: AnnData, key: str, names: Sequence[str]) -> dict[str, str]:
    """Take the colours that the object holds for a column, and those of the palette otherwise."""
    stored = adata.uns.get(keys.colors(key))
    column = adata.obs.get(key)
    if stored is not None and hasattr(column, "cat"):
        known = dict(zip(map(str, column.cat.categories), map(str, stored), strict=False))
        if set(names) <= set(known):
            return {name: known[name] for name in names}
    return palette(names)


def table_size(n_rows: int, n_columns: int) -> tuple[float, float]:
    """Size of a figure in inches in which the cells of a table can be read."""
    return 2.6 + _CELL * 1.3 * min(n_columns, 30), 1.7 + _CELL * min(n_rows, 30)


def draw_table(
    axes: Axes,
    shade: NDArray[np.float64],
    text: NDArray[Any],
    rows: Sequence[str],
    columns: Sequence[str],
) -> None:
    """Draw shares from 0 to 1 as shades (NaN is grey), with text in the cells of a small table."""
    shades = colormaps["Blues"].with_extremes(bad="0.95")
    axes.imshow(shade, cmap=shades, vmin=0, vmax=1, aspect="auto")
    slanted = max(map(len, columns)) * len(columns) > 40
    axes.set_xticks(
        range(len(columns)),
        columns,
        rotation=40 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor",
        va="center" if slanted else "top",
    )
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.grid(visible=False)  # scanpy.set_figure_params turns it on, over the text.
    axes.spines[:].set_visible(False)
    if max(shade.shape) > _MOST_TEXT:
        return
    size = "small" if shade.shape[1] > 8 else "medium"
    for (i, j), value in np.ndenumerate(shade):
        colour = "white" if value > 0.55 else "black"
        axes.text(j, i, str(text[i, j]), ha="center", va="center", color=colour, fontsize=size)
