"""The figure of the demo: UMAP before and after, by cohort and by class."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import scanpy as sc
from matplotlib.figure import Figure

import domainvi._keys as keys

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# Okabe and Ito's colours, which most colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


def before_and_after(adata: "AnnData", colours: Mapping[str, str], path: Path, seed: int) -> None:
    """Draw expression values and latents side by side.

    Parameters
    ----------
    adata
        Annotated data.
    colours
        The two columns to colour by, and what to call them.
    path
        File to write, in PNG format.
    seed
        Of the layout.
    """
    layouts = {
        "before: expression values": _umap(_components(adata, seed), seed),
        "after: DomainVI latents": _umap(adata.obsm[keys.LATENT], seed),
    }
    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    for row, (key, words) in enumerate(colours.items()):
        for column, (title, layout) in enumerate(layouts.items()):
            names = adata.obs[key].astype("category")
            _scatter(axes[row, column], layout, names, legend=column == 1)
            axes[row, column].set_title(f"{title}\ncoloured by {words}")
    figure.savefig(path, dpi=130, format="png")


def _components(adata: "AnnData", seed: int) -> "NDArray[np.float32]":
    n_components = min(50, min(adata.shape) - 1)
    return np.asarray(sc.pp.pca(np.asarray(adata.X), n_components, random_state=seed))


def _umap(values: "NDArray[np.float32]", seed: int) -> "NDArray[np.float32]":
    points = ad.AnnData(values)
    sc.pp.neighbors(points, use_rep="X", random_state=seed)
    sc.tl.umap(points, random_state=seed)
    return np.asarray(points.obsm["X_umap"])


def _scatter(axes: "Axes", layout: "NDArray[np.float32]", names: Any, *, legend: bool) -> None:
    for code, name in enumerate(names.cat.categories):
        rows = (names == name).to_numpy()
        x, y = layout[rows].T
        axes.scatter(x, y, s=12, c=_COLOURS[code % len(_COLOURS)], label=str(name), lw=0)
    axes.set(xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.8)
