"""Plot the audit: classes by domain with the verdict, before and after alignment."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from domainvi.errors import InputError
from domainvi.trust import Audit

from ._canvas import (
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    canvas,
    canvases,
    draw_table,
    finish,
    legend_above,
    table_size,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_VERDICT = {"alignment allowed": BLUE, "conditional only": "#9A6A00", "refused": VERMILLION}
_LETTERS_AN_INCH = 13


def audit(
    found: Audit | Mapping[str, Any],
    *,
    diagnosis: pd.DataFrame | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[np.object_]:
    """Draw the class proportions of each domain with the verdict on it, and what alignment did.

    Columns are domains, shaded by the share of each class, with the number of labelled rows in the
    cells. With ``diagnosis`` a second panel shows, for each class, how well a fresh probe tells
    the domain before and after alignment; chance means that nothing is left to tell.

    Parameters
    ----------
    found
        What :func:`domainvi.tl.audit_confounding` returned, or the dict of it that a model writes
        to ``uns["domainvi"]["audit"]``.
    diagnosis
        What :meth:`domainvi.DomainVI.diagnose` returned.
    ax
        Axes to draw on, two with ``diagnosis``; a new figure if ``None``.
    show
        Whether to open a window; ``None`` does so for a new figure where there are windows.
    save
        File to write the figure to.

    Returns
    -------
    The axes, or an array of two with ``diagnosis``.

    Raises
    ------
    InputError
        If ``found`` is no audit, or ``ax`` has another number of axes.

    Examples
    --------
    >>> adata = dv.data.cohorts()
    >>> found = dv.tl.audit_confounding(adata, batch_key="cohort", labels_key="cancer_type")
    >>> axes = dv.pl.audit(found)
    >>> [tick.get_text() for tick in axes.get_xticklabels()]
    ['agilent', 'rnaseq']
    """
    fields = found.to_dict() if isinstance(found, Audit) else found
    if "table" not in fields:
        msg = f"found has no audit in it; it holds {', '.join(map(str, fields)) or 'nothing'}."
        raise InputError(msg)
    n_rows = len(fields["classes"]) + 1 + ("n_coarse" in fields)
    width, height = table_size(n_rows, len(fields["domains"]))
    width, height = max(width, 4.8), height + 0.9
    if diagnosis is None:
        one: Axes = canvas(ax, (width, height))
        _draw_audit(one, fields)
        return finish(one, ax, show, save)
    two = canvases(ax, (1, 2), (width + 4.2, height), width_ratios=[width, 4.2])[0]
    _draw_audit(two[0], fields)
    _draw_diagnosis(two[1], diagnosis)
    return finish(two, ax, show, save)


def _draw_audit(axes: Axes, fields: Mapping[str, Any]) -> None:
    counts, below = np.asarray(fields["table"]), {"no label": fields["n_unlabelled"]}
    if "n_coarse" in fields:
        below = {"coarser label": fields["n_coarse"], **below}
    share = counts / np.maximum(counts.sum(axis=0), 1)
    shade = np.vstack([share, np.full((len(below), counts.shape[1]), np.nan)])
    text = np.vstack([counts, *below.values()]).astype(str).astype(object)
    names = [*map(str, fields["classes"]), *below]
    draw_table(axes, shade, text, names, [str(name) for name in fields["domains"]])
    axes.axhline(len(counts) - 0.5, color="0.6", lw=0.8)
    verdict = str(fields["verdict"])
    text_above = " ".join(map(str, [fields["sentence"], *fields["nested"]]))
    inches = axes.get_window_extent().width / axes.figure.dpi
    lines = textwrap.wrap(text_above, int(_LETTERS_AN_INCH * max(inches, 4)))
    axes.set_title(
        "\n".join(lines), loc="left", fontsize="small", color=_VERDICT.get(verdict, "black")
    )


def _draw_diagnosis(axes: Axes, diagnosis: pd.DataFrame) -> None:
    """Draw the probe's balanced accuracy before and after, a line for each class."""
    place = np.arange(len(diagnosis))
    before, after = diagnosis["probe_input"], diagnosis["probe_latent"]
    axes.hlines(place, before, after, color=GREY, lw=2, zorder=1)
    axes.vlines(
        diagnosis["chance"], place - 0.3, place + 0.3, color="black", ls=":", label="chance"
    )
    axes.scatter(before, place, color=ORANGE, marker="s", label="before alignment")
    axes.scatter(after, place, color=BLUE, marker="o", label="in the latents")
    axes.set_yticks(place, [str(name) for name in diagnosis.index])
    axes.set(xlabel="balanced accuracy of a fresh domain probe", xlim=(0, 1.03))
    axes.invert_yaxis()
    axes.grid(axis="x", lw=0.5, alpha=0.5)
    legend_above(axes)
    tidy(axes)
