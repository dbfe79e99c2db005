"""Plot how the classes of the reference become the labels of the query."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline

import domainvi._keys as keys
from domainvi.errors import InputError

from ._canvas import GREY, canvas, class_colours, finish
from ._columns import column, known, results

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_WIDTH = 0.12
_GAP = 0.015
# Height of a line of text, in inches.
_LINE = 0.17
_NO_LABEL = "no label"


class _Stack(NamedTuple):
    """A column of blocks: what it is called, the rows of each class, and their lower edges."""

    title: str
    counts: pd.Series
    bottom: pd.Series
    height: pd.Series


def label_flow(
    adata: AnnData,
    truth: str | None = None,
    *,
    reference: AnnData | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw how the class proportions of the reference become those of the query.

    Left stand the classes of the labelled rows, beside them the labels predicted for the others.
    A ribbon that widens is a class which is commoner in the query. With ``truth`` a third stack
    shows the query's own classes, and ribbons that cross are errors.

    Parameters
    ----------
    adata
        Annotated data. Rows with a label are the reference, the others the query.
    truth
        Column of ``adata.obs`` with the query's true classes.
    reference
        The reference, when ``adata`` holds the query only; all rows of ``adata`` are the query
        then.
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
        If the object is not annotated, a column is missing, or one side has no row.

    Examples
    --------
    >>> model.annotate(adata)
    >>> axes = dv.pl.label_flow(adata, "label_true")
    >>> len(axes.patches) > 12
    True
    """
    found = results(adata)
    key = str(found[keys.LABELS_KEY])
    sides = _sides(adata, key, str(found[keys.UNLABELED_CATEGORY]), truth, reference)
    classes = [str(name) for name in found[keys.CLASSES]]
    others = sorted({str(name) for _, rows in sides for name in rows} - set(classes))
    names = [*classes, *others]
    colours = class_colours(adata, keys.prediction(key), classes)
    axes = canvas(ax, (2.6 + 2.0 * len(sides), max(4.2, 1 + _LINE * len(names))))
    stacks = [_stack(title, rows, names) for title, rows in sides]
    for i, stack in enumerate(stacks):
        _draw_stack(axes, i, stack, colours)
    _same_class(axes, stacks[0], stacks[1], colours)
    if truth is not None:
        _same_rows(axes, stacks[1], stacks[2], pd.crosstab(sides[1][1], sides[2][1]), colours)
    _label(axes, stacks[0], 0, left=True)
    _label(axes, stacks[-1], len(stacks) - 1, left=False)
    axes.set_xticks(range(len(stacks)), [f"{s.title}\n{s.counts.sum()} rows" for s in stacks])
    axes.set(xlim=(-0.15, len(stacks) - 0.85), ylim=(1.05, -0.02), yticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return finish(axes, ax, show, save)


def _sides(
    adata: AnnData, key: str, unlabeled: str, truth: str | None, reference: AnnData | None
) -> list[tuple[str, NDArray[np.object_]]]:
    """Name each stack and list its rows' classes: reference, predictions, and truth if asked."""
    guess = column(adata, keys.prediction(key), "labels_key")
    shown = column(adata if reference is None else reference, key, "labels_key")
    labelled = known(shown, unlabeled)
    query = ~labelled if reference is None else np.ones(adata.n_obs, dtype=bool)
    if not labelled.any() or not query.any():
        msg = (
            f"{int(labelled.sum())} rows are labelled and {int(query.sum())} are to be; expected "
            "some of both. Pass the labelled cohorts as reference= if they are not in adata."
        )
        raise InputError(msg)
    sides = [("reference", shown[labelled]), ("query, predicted", guess[query])]
    if truth is not None:
        own = column(adata, truth, "truth")[query]
        sides.append((f"query, {truth}", np.where(known(own, unlabeled), own, _NO_LABEL)))
    return sides


def _stack(title: str, rows: NDArray[np.object_], names: list[str]) -> _Stack:
    """Stack the classes from the top, as shares of the rows, with gaps between them."""
    counts = pd.Series(rows).value_counts().reindex(names, fill_value=0)
    counts = counts[counts > 0]
    height = counts / counts.sum() * (1 - _GAP * (len(names) - 1))
    bottom = height.cumsum() - height + _GAP * np.arange(len(counts))
    return _Stack(title, counts, bottom, height)


def _draw_stack(axes: Axes, place: int, stack: _Stack, colours: dict[str, str]) -> None:
    for name in stack.counts.index:
        corner = (place - _WIDTH / 2, stack.bottom[name])
        colour = colours.get(name, GREY)
        axes.add_patch(Rectangle(corner, _WIDTH, stack.height[name], color=colour, lw=0))


def _same_class(axes: Axes, left: _Stack, right: _Stack, colours: dict[str, str]) -> None:
    """Join each class of the reference to itself in the query."""
    for name in left.counts.index.intersection(right.counts.index):
        ends = [(s.bottom[name], s.bottom[name] + s.height[name]) for s in (left, right)]
        _ribbon(axes, 0, ends[0], ends[1], colours.get(name, GREY))


def _same_rows(
    axes: Axes, left: _Stack, right: _Stack, table: pd.DataFrame, colours: dict[str, str]
) -> None:
    """Join predicted and own class of the query's rows, as wide as there are rows."""
    at = [left.bottom.copy(), right.bottom.copy()]
    for source, target in itertools.product(left.counts.index, right.counts.index):
        rows = int(table.loc[source, target])
        if not rows:
            continue
        ends = []
        for side, stack, name in ((0, left, source), (1, right, target)):
            width = stack.height[name] * rows / stack.counts[name]
            ends.append((at[side][name], at[side][name] + width))
            at[side][name] += width
        _ribbon(axes, 1, ends[0], ends[1], colours.get(source, GREY))


def _ribbon(
    axes: Axes, place: int, left: tuple[float, float], right: tuple[float, float], colour: str
) -> None:
    start, middle, end = place + _WIDTH / 2, place + 0.5, place + 1 - _WIDTH / 2
    x = [start, middle, middle, end, end, middle, middle, start]
    y = [left[0], left[0], right[0], right[0], right[1], right[1], left[1], left[1]]
    curve = [Outline.CURVE4] * 3
    codes = [Outline.MOVETO, *curve, Outline.LINETO, *curve]
    axes.add_patch(
        PathPatch(Outline(np.column_stack([x, y]), codes), facecolor=colour, alpha=0.4, lw=0)
    )


def _label(axes: Axes, stack: _Stack, place: int, *, left: bool) -> None:
    """Write the classes beside a stack, moved apart where they would overlap."""
    middle = (stack.bottom + stack.height / 2).to_numpy()
    side = -1 if left else 1
    line = _LINE / (axes.get_window_extent().height / axes.figure.dpi)
    for name, y in zip(stack.counts.index, spread(middle, line), strict=True):
        share = stack.counts[name] / stack.counts.sum()
        axes.text(
            place + side * (_WIDTH / 2 + 0.03),
            y,
            f"{name}  {share:.0%}",
            ha="right" if left else "left",
            va="center",
            fontsize="small",
        )


def spread(places: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Move sorted places apart until neighbours are ``gap`` away, within 0 to 1 where they fit."""
    steps = gap * np.arange(len(places))
    return np.minimum(np.maximum.accumulate(places - steps) + steps, 1 - steps[::-1])
