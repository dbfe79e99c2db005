"""Say what is in a file: format, scale, names of genes, cohorts, classes, and what is refused."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from domainvi._checks import unknown_column
from domainvi.data import (
    check_setup,
    clean_names,
    describe_matrix,
    gene_forms,
    is_labelled,
    is_missing_word,
    raw_hint,
)
from domainvi.errors import InputError

from ._read import format_of

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

# Columns with more levels are no classes, and those with more are not listed.
_MOST_LEVELS = 50


def describe(
    adata: AnnData,
    path: Path,
    *,
    batch: str | None = None,
    labels: str | None = None,
    layer: str | None = None,
    unlabeled: str = "Unknown",
) -> dict[str, Any]:
    """Describe what was read from a file, and say what a model would refuse in it and why.

    Returns
    -------
    Plain values by name. ``refused`` is the first fault with its remedy, empty if there is none;
    ``remarks`` are what is read otherwise than it is written, and columns that are not there.
    """
    facts: dict[str, Any] = {
        "file": str(path),
        "format": format_of(path),
        "rows": adata.n_obs,
        "genes": adata.n_vars,
        "gene_names": gene_forms(adata.var_names),
        "layers": sorted(name for name in adata.layers if name is not None),
        "values": _values(adata, layer),
        "columns": _columns(adata),
    }
    remarks = []
    if batch is not None and batch not in adata.obs:
        missing = unknown_column("batch_key", batch, adata.obs)
        remarks.append(f"{missing} Beside files with it, this is one cohort, by its name.")
        batch = None
    obs = adata.obs.loc[:, ~adata.obs.columns.duplicated()]
    if labels is not None and not (labels in obs and is_labelled(obs[labels], unlabeled).any()):
        missing = f"obs[{labels!r}] labels none of the {adata.n_obs} rows."
        missing = missing if labels in obs else unknown_column("labels_key", labels, obs)
        remarks.append(f"{missing} Without labels, it can be a query.")
        labels = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        facts["refused"] = _refused(adata, batch, labels, layer, unlabeled)
    return facts | {"remarks": remarks + [str(warning.message) for warning in said]}


def _values(adata: AnnData, layer: str | None) -> str:
    matrix = adata.X if layer is None else adata.layers.get(layer)
    if matrix is None:
        return f"none{raw_hint(adata)}"
    summary = describe_matrix(matrix)
    kind = {"counts": "counts", "nonnegative": "not negative, with fractions", "real": "real"}
    return f"{kind[summary.kind]}, up to {summary.maximum:.4g}{raw_hint(adata)}"


def _columns(adata: AnnData) -> dict[str, dict[str, int]]:
    """Count the levels of each column of names, missing and the missing ones, as ``(missing)``."""
    found = {}
    for key in adata.obs.columns[~adata.obs.columns.duplicated(keep=False)]:
        column = adata.obs[key].astype(object)
        names = column[column.map(lambda value: isinstance(value, str))]
        if not 0 < names.nunique() <= min(_MOST_LEVELS, max(2, len(column) // 2)):
            continue
        counts = clean_names(column).value_counts()
        levels = {str(name): int(n) for name, n in counts.items()}
        missing = int(column.isna().sum()) + int(column.map(is_missing_word).sum())
        found[str(key)] = levels | ({"(missing)": missing} if missing else {})
    return found


def _refused(
    adata: AnnData, batch: str | None, labels: str | None, layer: str | None, unlabeled: str
) -> str:
    try:
        check_setup(
            adata,
            batch_keys=[] if batch is None else [batch],
            labels_key=labels,
            unlabeled_category=unlabeled,
            layer=layer,
            require_domains=False,
        )
    except InputError as error:
        return str(error)
    return ""
