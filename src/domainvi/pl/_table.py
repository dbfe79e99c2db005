"""Draw a table of counts as a coloured grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# Cells with text in them; beyond, the text would be too small to read.
_MOST_TEXT = 20
_CELL = 0.5


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
