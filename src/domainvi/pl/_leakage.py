"""Plot how much each subspace knows of each factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from domainvi.errors import InputError

from ._canvas import canvas, finish, legend_above, tidy
from ._colours import BLUE, GREY, VERMILLION

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes

_NEEDED = ("subspace", "factor", "own", "score", "chance", "low", "high")


def leakage(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw what probes found, with 95 % intervals, beside chance.

    A subspace should know its own factors (blue, to the right) and be at chance (grey tick) for
    those of other groups (vermillion).

    Parameters
    ----------
    table
        What :meth:`domainvi.DisentangledVI.get_leakage` returned.
    ax
        Axes to draw on; a new figure if ``None``.
    show
        Whether to open a window; ``None`` does so for a new figure where there are windows.
    save
        File to write the figure to.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        If columns are missing.

    Examples
    --------
    >>> row = {"subspace": "biological", "factor": "tissue", "own": True, "score": 0.9}
    >>> table = pd.DataFrame([{**row, "chance": 0.25, "low": 0.85, "high": 0.94}])
    >>> dv.pl.leakage(table).get_xlabel()
    'score of a fresh probe'
    """
    if missing := [c for c in _NEEDED if c not in table]:
        msg = f"table has no column {', '.join(missing)}. Pass what get_leakage() returned."
        raise InputError(msg)
    axes = canvas(ax, (6.0, 0.8 + 0.3 * len(table)))
    y = np.arange(len(table))
    score = table["score"].to_numpy(dtype=float)
    for own, colour, label in (
        (True, BLUE, "own factor"),
        (False, VERMILLION, "factor of another"),
    ):
        rows = table["own"].to_numpy(dtype=bool) == own
        if not rows.any():
            continue
        ends = np.stack([score - table["low"], table["high"] - score])[:, rows]
        axes.errorbar(
            score[rows], y[rows], xerr=np.maximum(ends, 0), fmt="o", color=colour, label=label
        )
    axes.plot(table["chance"], y, "|", color=GREY, markersize=14, label="chance")
    names = [f"{f} from {s}" for s, f in zip(table["subspace"], table["factor"], strict=True)]
    axes.set_yticks(y, names)
    axes.invert_yaxis()
    axes.set_xlabel("score of a fresh probe")
    legend_above(axes, ncols=3)
    tidy(axes)
    finish(axes, ax, show, save)
    return axes
