"""Plot a benchmark: random folds beside held-out domains, and learning curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from domainvi.errors import InputError

from ._canvas import (
    BLUE,
    DASHES,
    GREY,
    MARKERS,
    ORANGE,
    SERIES,
    canvases,
    finish,
    legend_above,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_FOLDS, _HELD_OUT, _BUDGET = "cross_validation", "leave_one_domain_out", "label_budget"
_PROTOCOLS = {
    _FOLDS: ("random cross-validation", ORANGE, "s", -0.15),
    _HELD_OUT: ("leave one domain out", BLUE, "o", 0.15),
}
_FLOOR = ("majority", "mean")
_WORDS = {
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "ece": "expected calibration error",
    "nll": "negative log-likelihood",
    "r2": "R²",
    "mae": "mean absolute error",
}


def benchmark(
    table: pd.DataFrame,
    *,
    score: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw what :func:`domainvi.tl.benchmark` returned.

    One panel compares random cross-validation with leaving one domain out: large marks are means,
    small ones single folds or domains, and the number is the gap between the two means, which is
    how much worse a new cohort does than random folds promise. The other panel, for the protocol
    ``"label_budget"``, shows the mean over domains and seeds against the labels shown. The dotted
    line answers with the commonest class, or the mean of a numeric target.

    Parameters
    ----------
    table
        Tidy results; those of several protocols may be concatenated.
    score
        Column to draw; macro-F1, or R² for a numeric target, if ``None``.
    ax
        Axes to draw on, one for each panel; a new figure if ``None``.
    show
        Whether to open a window; ``None`` does so for a new figure where there are windows.
    save
        File to write the figure to.

    Returns
    -------
    Array of axes: the comparison, then the learning curves, as far as the table has them.

    Raises
    ------
    InputError
        If the table has no such score, no row, or ``ax`` has another number of axes.

    Examples
    --------
    >>> adata = dv.data.synthetic_cohorts(n_obs=120)
    >>> table = dv.tl.benchmark(
    ...     adata,
    ...     batch_key="domain",
    ...     labels_key="label_true",
    ...     protocol=("cross_validation", "leave_one_domain_out"),
    ...     methods=["logistic_regression_z"],
    ... )
    >>> dv.pl.benchmark(table)[0].get_xlabel()
    'macro-F1'
    """
    if score is None:
        score = "macro_f1" if "macro_f1" in table else "r2"
    if score not in table or table.empty:
        msg = (
            f"table has {len(table)} rows and columns {', '.join(map(str, table.columns))}; "
            f"expected results of tl.benchmark with score={score!r}."
        )
        raise InputError(msg)
    compared = table[table["protocol"].isin(_PROTOCOLS)]
    curves = table[table["protocol"] == _BUDGET]
    n_methods = table["method"].nunique()
    panels = [(_draw_gap, compared), (_draw_curves, curves)]
    panels = [(draw, part) for draw, part in panels if len(part)]
    size = (5.6 * len(panels), max(3.0, 1.6 + 0.5 * n_methods))
    axes = canvases(ax, (1, len(panels)), size)[0]
    for panel, (draw, part) in zip(axes, panels, strict=True):
        draw(panel, part, score)
        tidy(panel)
    return finish(axes, ax, show, save)


def _words(score: str) -> str:
    return _WORDS.get(score, score.replace("_", " "))


def _draw_gap(axes: Axes, table: pd.DataFrame, score: str) -> None:
    means = table.groupby(["method", "protocol"])[score].mean().unstack()
    order = [name for name in table["method"].unique() if name not in _FLOOR]
    for protocol, (label, colour, marker, _) in _PROTOCOLS.items():
        if protocol in means:
            axes.scatter([], [], s=70, color=colour, marker=marker, lw=0, label=label)
    for place, method in enumerate(order):
        rows = table[table["method"] == method]
        for protocol, (_, colour, marker, shift) in _PROTOCOLS.items():
            values = rows.loc[rows["protocol"] == protocol, score]
            if values.empty:
                continue
            style: dict[str, Any] = {"color": colour, "marker": marker, "lw": 0}
            y = np.full(len(values), place + shift)
            axes.scatter(values, y, s=14, alpha=0.45, **style)
            axes.scatter(values.mean(), place + shift, s=70, zorder=3, **style)
        if set(_PROTOCOLS) <= set(means.columns):
            _annotate_gap(axes, means.loc[method], place)
    if set(_PROTOCOLS) <= set(means.columns):
        _beside(axes, "gap", -0.5)
    floor = means.reindex(_FLOOR).mean(axis=1).dropna()
    for name, value in floor.items():
        axes.axvline(value, color=GREY, ls=":", label=f"{name} of the labels")
    axes.set_yticks(range(len(order)), map(_words, order))
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlabel(_words(score))
    axes.grid(axis="x", lw=0.5, alpha=0.5)
    legend_above(axes, ncols=2, columnspacing=1.0)


def _annotate_gap(axes: Axes, means: pd.Series, place: int) -> None:
    """Draw the way from one mean to the other, and its length."""
    ends = means[_FOLDS], means[_HELD_OUT]
    if not np.isfinite(ends).all():
        return
    axes.plot(ends, (place - 0.15, place + 0.15), color="0.3", lw=1.2, zorder=2)
    _beside(axes, f"{ends[1] - ends[0]:+.2f}".replace("-", "−"), place)


def _beside(axes: Axes, text: str, place: float) -> None:
    """Write to the right of the axes."""
    axes.annotate(
        text, (1.01, place), xycoords=("axes fraction", "data"), va="center", annotation_clip=False
    )


def _draw_curves(axes: Axes, table: pd.DataFrame, score: str) -> None:
    means = table.groupby(["method", "budget"])[score].mean().unstack()
    place = np.arange(means.shape[1])
    order = [name for name in table["method"].unique() if name not in _FLOOR]
    for i, method in enumerate(order):
        axes.plot(
            place,
            means.loc[method],
            color=SERIES[i % len(SERIES)],
            marker=MARKERS[i % len(MARKERS)],
            ls=DASHES[i % len(DASHES)],
            label=_words(method),
        )
    for name in means.index.intersection(list(_FLOOR)):
        axes.plot(place, means.loc[name], color=GREY, ls=":", label=f"{name} of the labels")
    axes.set_xticks(place, [f"{budget:g}" for budget in means.columns])
    axes.set(xlabel="labels shown of each class", ylabel=_words(score))
    axes.grid(axis="y", lw=0.5, alpha=0.5)
    legend_above(axes, ncols=2, columnspacing=1.0)
