"""Plot the genes that predictions rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from domainvi.errors import InputError

from ._canvas import BLUE, VERMILLION, canvas, finish, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes

_INCHES_A_GENE = 0.22


def attribution(
    attributions: pd.DataFrame,
    *,
    classes: str | Sequence[str] | None = None,
    n_top: int = 10,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the genes on which predictions rest most.

    One class gives bars, the largest at the top. Several give a table of genes by classes: the
    top genes of each class, each once, coloured by how much they argue for the class (red) or
    against it (blue), as a share of the largest value in it.

    Parameters
    ----------
    attributions
        What ``model.explain()`` returned, or the frame that it wrote to ``varm``.
    classes
        Columns to draw; all if ``None``. Those without a row are left out.
    n_top
        Genes of each class.
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
        If a class is not a column, ``n_top`` is not positive, or nothing is left to draw.

    Examples
    --------
    >>> genes = pd.DataFrame({"a": [3.0, 1.0], "b": [-1.0, 2.0]}, index=["CA9", "MET"])
    >>> axes = dv.pl.attribution(genes, classes="a", n_top=1)
    >>> [tick.get_text() for tick in axes.get_yticklabels()]
    ['CA9']
    """
    frame = _chosen(attributions, classes, n_top)
    top = {name: frame[name].nlargest(n_top).index for name in frame}
    genes = list(dict.fromkeys(gene for listed in top.values() for gene in listed))
    height = 1.2 + _INCHES_A_GENE * len(genes)
    axes: Axes = canvas(ax, (1.8 + max(2.4, 0.45 * frame.shape[1]), height))
    if frame.shape[1] == 1:
        _draw_bars(axes, frame.loc[genes].iloc[:, 0])
    else:
        _draw_table(axes, frame.loc[genes])
    return finish(axes, ax, show, save)


def _chosen(
    attributions: pd.DataFrame, classes: str | Sequence[str] | None, n_top: int
) -> pd.DataFrame:
    """Take the classes asked for that have rows, and the genes that have values."""
    names = [classes] if isinstance(classes, str) else classes
    columns = list(attributions.columns) if names is None else list(names)
    if n_top < 1:
        msg = f"n_top={n_top} must be at least 1."
        raise InputError(msg)
    if unknown := [str(c) for c in columns if c not in attributions]:
        known = ", ".join(map(str, attributions.columns))
        msg = f"classes: {', '.join(unknown)} not in attributions. Use some of {known}."
        raise InputError(msg)
    frame = attributions[columns].dropna(axis=1, how="all").dropna(axis=0, how="all")
    if frame.empty:
        msg = "attributions holds no values for these classes; was any row called one of them?"
        raise InputError(msg)
    return frame


def _draw_bars(axes: Axes, values: pd.Series) -> None:
    place = np.arange(len(values))
    colours = np.where(values >= 0, VERMILLION, BLUE)
    axes.barh(place, values, color=list(colours), height=0.75)
    axes.set_yticks(place, [str(gene) for gene in values.index])
    axes.set(xlabel="mean attribution", title=str(values.name))
    axes.invert_yaxis()
    axes.axvline(0, color="black", lw=0.8)
    tidy(axes)


def _draw_table(axes: Axes, frame: pd.DataFrame) -> None:
    share = frame / frame.abs().max()
    image = axes.imshow(share, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    columns = [str(name) for name in frame]
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(frame)), [str(gene) for gene in frame.index])
    axes.tick_params(length=0, labelsize="small")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, label="attribution, share of the largest", shrink=0.7)
