"""Plot what a DisentangledVI found: leakage between subspaces, and shares of the variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from domainvi.errors import InputError

from ._canvas import BLUE, GREY, VERMILLION, canvas, finish, legend_above, palette, tidy

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
    return finish(axes, ax, show, save)


def variance_shares(
    table: pd.DataFrame,
    *,
    sort_by: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the share of each group in the variance of each gene, genes side by side.

    Parameters
    ----------
    table
        Genes x groups, what :meth:`domainvi.DisentangledVI.get_variance_shares` returned.
    sort_by
        Group by whose share the genes are ordered; the first if ``None``.
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
        If there is no such group, or no gene that varies.

    Examples
    --------
    >>> table = pd.DataFrame({"biological": [0.9, 0.2], "technical": [0.1, 0.8]})
    >>> dv.pl.variance_shares(table).get_xlabel()
    '2 genes, by biological'
    """
    key = table.columns[0] if sort_by is None else sort_by
    if key not in table:
        msg = f"sort_by={sort_by!r} is not a group. The table has {', '.join(table.columns)}."
        raise InputError(msg)
    shares = table.dropna().sort_values(key, ascending=False)
    if shares.empty:
        msg = f"table has no gene that varies, in {len(table)} rows."
        raise InputError(msg)
    axes = canvas(ax, (6.0, 3.0))
    colours = list(palette(list(shares)).values())
    axes.stackplot(
        np.arange(len(shares)), shares.to_numpy().T, labels=list(shares), colors=colours, step="mid"
    )
    axes.set(xlim=(0, max(len(shares) - 1, 1)), ylim=(0, 1))
    axes.set_xlabel(f"{len(shares)} genes, by {key}")
    axes.set_ylabel("share of the modelled variance")
    legend_above(axes, ncols=4)
    tidy(axes)
    return finish(axes, ax, show, save)
