"""Plot which classes are taken for which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import domainvi._keys as keys
from domainvi.errors import InputError
from domainvi.metrics import balanced_accuracy, macro_f1

from ._canvas import canvas, draw_table, finish, table_size
from ._columns import column, known, levels

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes


def confusion(
    adata: AnnData,
    truth: str,
    predicted: str | None = None,
    *,
    unlabeled_category: str = "Unknown",
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw counts of true class by predicted class, shaded by the share of the true class.

    Parameters
    ----------
    adata
        Annotated data.
    truth
        Column of ``adata.obs`` with the true classes. Rows without one are left out.
    predicted
        Column with the predicted ones; ``"<truth>_pred"`` if ``None``.
    unlabeled_category
        The name of rows without a class.
    ax
        Axes to draw on; a new figure if ``None``.
    show
        Whether to open a window; ``None`` does so for a new figure where there are windows.
    save
        File to write the figure to.

    Returns
    -------
    The axes; their title gives macro-F1 and balanced accuracy.

    Raises
    ------
    InputError
        If a column is missing, or no row has a true class.

    Examples
    --------
    >>> adata = dv.data.synthetic_cohorts(n_obs=100)
    >>> adata.obs["guess"] = adata.obs["label_true"]
    >>> dv.pl.confusion(adata, "label_true", "guess").get_title()
    'macro-F1 1.00, balanced accuracy 1.00'
    """
    guess_key = keys.prediction(truth) if predicted is None else predicted
    names, guess = column(adata, truth, "truth"), column(adata, guess_key, "predicted")
    used = known(names, unlabeled_category) & np.array([g is not None for g in guess])
    if not used.any():
        msg = f"No row has both a class in truth={truth!r} and one in {guess_key!r}."
        raise InputError(msg)
    rows = levels(adata, truth, names[used])
    extra = [c for c in levels(adata, guess_key, guess[used]) if c not in rows]
    counts = pd.crosstab(names[used], guess[used]).reindex(
        index=rows, columns=[*rows, *extra], fill_value=0
    )
    table = counts.to_numpy()
    axes = canvas(ax, table_size(*table.shape))
    titles = [f"{name} (n = {n})" for name, n in zip(rows, table.sum(axis=1), strict=True)]
    text = np.where(table > 0, table.astype(str), "")
    draw_table(axes, table / table.sum(axis=1, keepdims=True), text, titles, list(counts.columns))
    y, p = names[used].astype(str), guess[used].astype(str)
    axes.set_title(
        f"macro-F1 {macro_f1(y, p):.2f}, balanced accuracy {balanced_accuracy(y, p):.2f}",
        fontsize="medium",
    )
    axes.set(xlabel=f"predicted ({guess_key})", ylabel=f"true ({truth})")
    return finish(axes, ax, show, save)
