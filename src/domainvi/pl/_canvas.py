"""Axes to draw on, legends, and what is done with a figure at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine

from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_DPI = 150
# Inches under which two columns of a legend would reach into the next axes.
_NARROW = 3.5


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


def finish(axes: Axes, given: Any, show: bool | None, save: str | Path | None) -> None:
    """Save and show the figure of some axes.

    ``given`` is what the user passed as ``ax``: their own figure is shown only when they say so.
    Notebooks show figures by themselves.
    """
    figure: Figure = axes.get_figure(root=True)  # type: ignore[assignment]
    if save is not None:
        figure.savefig(save, dpi=_DPI, bbox_inches="tight")
    if show is None:
        show = given is None and figure.canvas.required_interactive_framework is not None
    if show:
        plt.show()


def tidy(axes: Axes) -> None:
    """Take away what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def legend_above(axes: Axes, **arguments: Any) -> None:
    """Put the legend over the axes, where it covers nothing; in one column over narrow ones."""
    where: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
    figure: Figure = axes.get_figure(root=True)  # type: ignore[assignment]
    if axes.get_window_extent().width / figure.dpi < _NARROW:
        arguments["ncols"] = 1
    axes.legend(**where, frameon=False, fontsize="small", **arguments)
