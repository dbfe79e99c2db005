"""Read what ``annotate`` wrote, and say what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import domainvi._keys as keys
from domainvi.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


def column(adata: AnnData, key: str, argument: str) -> NDArray[np.object_]:
    """Return a column of names; missing values become ``None``."""
    if key not in adata.obs:
        known = ", ".join(map(repr, adata.obs.columns)) or "none"
        msg = f"{argument}={key!r} is not a column of adata.obs; columns: {known}."
        raise InputError(msg)
    values = adata.obs[key]
    names = values.astype("string").astype(object).to_numpy(copy=True)
    names[values.isna().to_numpy()] = None
    return np.asarray(names, dtype=object)


def results(adata: AnnData) -> dict[str, Any]:
    """Return what ``annotate`` left in ``uns``."""
    if keys.RESULTS not in adata.uns:
        msg = f"adata.uns has no {keys.RESULTS!r}. Call model.annotate(adata) first."
        raise InputError(msg)
    found: dict[str, Any] = adata.uns[keys.RESULTS]
    return found


def known(names: NDArray[np.object_], unlabeled_category: str) -> NDArray[np.bool_]:
    """Tell rows with a name from those that are missing or unlabelled."""
    return np.array([name is not None and name != unlabeled_category for name in names])


def levels(adata: AnnData, key: str, names: NDArray[np.object_]) -> list[str]:
    """Return the names that occur, in the order of the categories where there are some."""
    values = adata.obs[key]
    occur = {str(name) for name in names if name is not None}
    if hasattr(values, "cat"):
        return [str(c) for c in values.cat.categories if str(c) in occur]
    return sorted(occur)
