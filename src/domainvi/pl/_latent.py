"""Plot UMAPs of the expression values and of the latents, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

import domainvi._keys as keys
from domainvi.data import describe_matrix, prepare_values, select_matrix
from domainvi.errors import InputError

from ._canvas import canvases, class_colours, finish
from ._columns import column, levels, results

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_TITLES = {"before": "before: expression values", "after": "after: latents"}


def latent(
    adata: AnnData,
    color: str | Sequence[str] | None = None,
    *,
    layer: str | None = None,
    seed: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw UMAPs of the expression values and of the latents, coloured in the same way.

    Cohorts should mix on the right and classes stay apart. The layouts are computed on a copy:
    "before" from 50 principal components of the 2,000 most variable genes, counts normalised and
    logged. Points are drawn by :func:`scanpy.pl.embedding`.

    Parameters
    ----------
    adata
        Annotated data; not changed.
    color
        Columns of ``adata.obs``, a row of panels each; the cohort and the predicted class if
        ``None``.
    layer
        Layer with the expression values; ``adata.X`` if ``None``.
    seed
        Random seed for the layouts.
    ax
        Axes to draw on, two for each column; a new figure if ``None``.
    show
        Whether to open a window; ``None`` does so for a new figure where there are windows.
    save
        File to write the figure to.

    Returns
    -------
    Array of axes, ``(columns, 2)``: before and after.

    Raises
    ------
    InputError
        If the object is not annotated, a column is missing, or ``ax`` has another number of axes.

    Examples
    --------
    >>> model.annotate(adata)
    >>> dv.pl.latent(adata).shape
    (2, 2)
    """
    found = results(adata)
    batch = np.atleast_1d(found[keys.BATCH_KEY]).astype(str).tolist()
    usual = [key for key in (*batch, keys.prediction(found[keys.LABELS_KEY])) if key in adata.obs]
    wanted = usual if color is None else color
    columns = [wanted] if isinstance(wanted, str) else list(wanted)
    names = {key: column(adata, key, "color") for key in columns}
    if not columns:
        msg = "color names no column; expected at least one."
        raise InputError(msg)
    import scanpy as sc

    axes = canvases(ax, (len(columns), 2), (8.4, 3.5 * len(columns)))
    points = _layouts(adata, batch[0], layer, seed)
    for row, key in zip(axes, columns, strict=True):
        order = levels(adata, key, names[key])
        colours = class_colours(adata, key, order)
        points.obs[key] = np.where(names[key] == None, np.nan, names[key])  # noqa: E711
        points.obs[key] = points.obs[key].astype("category").cat.set_categories(order)
        for panel, (basis, title) in zip(row, _TITLES.items(), strict=True):
            sc.pl.embedding(
                points,
                f"X_{basis}",
                color=key,
                palette=colours,
                title=f"{title}\ncoloured by {key}",
                size=min(120_000 / adata.n_obs, 60),
                legend_loc=None,
                show=False,
                ax=panel,
            )
            panel.set(xlabel="UMAP 1", ylabel="UMAP 2")
            panel.title.set_fontsize("medium")
        _legend(row[1], colours)
    return finish(axes, ax, show, save)


def _layouts(adata: AnnData, batch_key: str, layer: str | None, seed: int) -> AnnData:
    """Lay out expression values and latents, with scanpy's defaults."""
    import scanpy as sc

    matrix = select_matrix(adata, layer)
    # A new cohort that was annotated by itself need not have the column.
    domain = adata.obs.get(batch_key, pd.Series(0, adata.obs_names))
    codes = pd.factorize(domain)[0].astype(np.int64)
    values = prepare_values(matrix, codes, counts=describe_matrix(matrix).kind == "counts")
    n_components = min(50, min(values.shape) - 1)
    points = AnnData(obs=adata.obs[[]].copy())
    points.obsm["before"] = sc.pp.pca(values, n_components, random_state=seed)
    points.obsm["after"] = np.asarray(adata.obsm[keys.LATENT])
    for space in _TITLES:
        sc.pp.neighbors(points, use_rep=space, random_state=seed)
        points.obsm[f"X_{space}"] = sc.tl.umap(points, random_state=seed, copy=True).obsm["X_umap"]
    return points


def _legend(axes: Axes, colours: dict[str, str]) -> None:
    """Put the names of the colours to the right of the axes, where they cover nothing."""
    axes.legend(
        handles=[axes.scatter([], [], color=c, label=name) for name, c in colours.items()],
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        ncols=1 + len(colours) // 16,
        frameon=False,
        fontsize="small",
    )
