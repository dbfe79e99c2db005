"""Plot how often predictions of each confidence are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

import domainvi._keys as keys
from domainvi.errors import InputError
from domainvi.metrics import expected_calibration_error, reliability_curve

from ._canvas import DASHES, GREY, MARKERS, canvas, finish, legend_above, palette, tidy
from ._columns import column, known, levels, results

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_ALL = "all rows"


def calibration(
    adata: AnnData,
    truth: str | None = None,
    *,
    by: str | None = None,
    n_bins: int = 10,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw how often predictions of each confidence are right, with the number of rows below.

    Points on the diagonal say what they mean; below it the model is overconfident. Bars are 95 %
    intervals (Wilson's), which are wide where few rows are. Rows of the training look better
    than new ones, so give ``by`` the column of the cohort, or a ``truth`` that the model never saw.

    Parameters
    ----------
    adata
        Annotated data.
    truth
        Column of ``adata.obs`` with the true classes; the column of the labels if ``None``. Rows
        without a class that the model knows are left out.
    by
        Column by which to draw a curve each.
    n_bins
        Number of bins of equal width.
    ax
        Axes to draw on; a new figure if ``None``. The counts stand in an inset below.
    show
        Whether to open a window; ``None`` does so for a new figure where there are windows.
    save
        File to write the figure to.

    Returns
    -------
    The axes; their legend gives rows and expected calibration error (15 bins of equal mass).

    Raises
    ------
    InputError
        If the object is not annotated, a column is missing, or no row has a known class.

    Examples
    --------
    >>> model.annotate(adata)
    >>> axes = dv.pl.calibration(adata, "label_true", by="domain")
    >>> axes.get_ylabel()
    'share of right predictions'
    """
    found = results(adata)
    key = str(found[keys.LABELS_KEY])
    probs = np.asarray(adata.obsm[keys.probability(key)])
    truth = key if truth is None else truth
    names = column(adata, truth, "truth")
    code = pd.Index(np.asarray(found[keys.CLASSES], dtype=object)).get_indexer(names)
    used = (code >= 0) & known(names, str(found[keys.UNLABELED_CATEGORY]))
    groups = np.full(len(code), _ALL, dtype=object) if by is None else column(adata, by, "by")
    order = [_ALL] if by is None else levels(adata, by, groups[used])
    if not used.any():
        msg = f"No row has a class that the model knows in truth={truth!r}."
        raise InputError(msg)
    axes = canvas(ax, (4.6, 5.0) if by is None else (6.4, 5.0))
    bars = _counts_below(axes)
    curves = {name: used & (groups == name) for name in order}
    colours = palette(list(curves))
    for i, (name, rows) in enumerate(curves.items()):
        style: dict[str, Any] = {
            "color": colours[name],
            "marker": MARKERS[i % len(MARKERS)],
            "ls": DASHES[i % len(DASHES)],
        }
        _draw_curve(axes, code[rows], probs[rows], n_bins, name, style)
    confidence = [probs[rows].max(axis=1) for rows in curves.values()]
    edges = np.linspace(0, 1, n_bins + 1).tolist()
    bars.hist(confidence, bins=edges, color=[colours[n] for n in curves], stacked=True)
    _finish_axes(axes)
    return finish(axes, ax, show, save)


def _counts_below(axes: Axes) -> Axes:
    bars = axes.inset_axes((0, -0.32, 1, 0.22), sharex=axes)
    bars.set(xlabel="confidence", ylabel="rows")
    tidy(bars)
    return bars


def _draw_curve(
    axes: Axes,
    code: NDArray[np.int64],
    probs: NDArray[np.float32],
    n_bins: int,
    name: str,
    style: dict[str, Any],
) -> None:
    curve = reliability_curve(code, probs, n_bins, "uniform")
    right = np.round(curve.accuracy * curve.count).astype(int)
    intervals = [
        binomtest(k, n).proportion_ci(method="wilson")
        for k, n in zip(right.tolist(), curve.count.tolist(), strict=True)
    ]
    reach = np.abs(np.array([(i.low, i.high) for i in intervals]).T - curve.accuracy)
    ece = expected_calibration_error(code, probs)
    label = f"{name}: ECE {ece:.2f}, n = {len(code)}"
    axes.plot(curve.confidence, curve.accuracy, color=style["color"], ls=style["ls"], lw=0.8)
    dots = style | {"ls": "", "elinewidth": 0.8, "capsize": 2}
    axes.errorbar(curve.confidence, curve.accuracy, reach, label=label, **dots)


def _finish_axes(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, zorder=0)
    axes.set(xlim=(0, 1.02), ylim=(-0.03, 1.03), ylabel="share of right predictions")
    axes.tick_params(labelbottom=False)
    legend_above(axes)
    tidy(axes)
