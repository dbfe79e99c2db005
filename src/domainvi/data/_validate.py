"""Everything about an AnnData that can be wrong before a model exists; nothing is changed."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from anndata import AnnData

from domainvi._checks import unknown_column
from domainvi.errors import InputError

from ._columns import (
    Levels,
    check_classes,
    check_domains,
    check_labels,
    check_numbers,
    check_spread,
    is_number_column,
    shorten,
)
from ._matrix import describe_matrix, locate_nonfinite, rows_are_alike, select_matrix
from ._words import name_remarks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


# Numbers behind doubled gene names would be names that no other file has.
_UNIQUE = {
    "var": "Keep one of each: adata = adata[:, ~adata.var_names.duplicated()].copy().",
    "obs": "Call adata.obs_names_make_unique().",
}

logger = logging.getLogger(__name__)


def check_setup(
    adata: AnnData,
    *,
    batch_keys: Sequence[str],
    labels_key: str | None,
    unlabeled_category: str = "Unknown",
    layer: str | None = None,
    target_keys: Sequence[str] | None = None,
    size_factor_key: str | None = None,
    categorical_covariate_keys: Sequence[str] | None = None,
    continuous_covariate_keys: Sequence[str] | None = None,
    require_labels: bool = True,
    require_domains: bool = True,
    check_values: bool = True,
) -> None:
    """Check data before it is registered with a model.

    Views, files opened with ``backed="r"``, sparse matrices and arrays, and values of any real type
    are accepted. A backed file is read in blocks of rows; the rows of a backed view are loaded.
    Without ``require_labels``, for data that are only predicted, labels and phenotypes need not be
    able to teach; without ``require_domains``, ``batch_keys`` may be empty, and each have one
    level; without ``check_values``, the matrix is not looked at.

    The first thing that cannot be used is an ``InputError`` that says what and how to mend it.
    Categories without a row, class names that look like a missing label, and classes with one
    labelled row, which are set aside, are warned about, and a single cohort is logged.

    Examples
    --------
    >>> dv.data.check_setup(adata, batch_keys=["domain"], labels_key="label")
    >>> dv.data.check_setup(adata, batch_keys=["domian"], labels_key="label")
    Traceback (most recent call last):
        ...
    domainvi.errors.InputError: batch_key='domian' is not a column of adata.obs. ...
    """
    columns = {
        "batch_key": list(batch_keys),
        "labels_key": [] if labels_key is None else [labels_key],
        "target_keys": list(target_keys or ()),
        "size_factor_key": [] if size_factor_key is None else [size_factor_key],
    }
    for argument, given in (
        ("categorical_covariate_keys", categorical_covariate_keys),
        ("continuous_covariate_keys", continuous_covariate_keys),
    ):
        # The letters of a single name would be taken for names.
        if isinstance(given, str) or not isinstance(given, Iterable | None):
            kind = type(given).__name__
            msg = f"{argument}={given!r} is a {kind}; expected a list of column names."
            raise InputError(msg)
        columns[argument] = list(given or ())
    _check_object(adata, check_values)
    _check_keys(adata, columns, require_domains=require_domains)
    if not isinstance(unlabeled_category, str):
        msg = (
            f"unlabeled_category={unlabeled_category!r} is a {type(unlabeled_category).__name__}; "
            "expected text. Missing values are unlabelled anyhow."
        )
        raise InputError(msg)
    levels = _check_names(adata.obs, columns, unlabeled_category, require_labels, require_domains)
    _check_quantities(adata.obs, columns, require_labels)
    if check_values:
        check_expression(adata, layer, require_labels)
    messages = _remarks(adata.obs, levels, columns, unlabeled_category)
    if require_domains and len(columns["batch_key"]) == 1:
        _say_one_cohort(levels[columns["batch_key"][0]], columns["batch_key"][0])
    if require_labels:
        messages += _set_aside(levels, columns, unlabeled_category)
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=3)


def _check_object(adata: AnnData, needs_genes: bool) -> None:
    """Refuse what is no AnnData, is empty, or has doubled names, which could not be looked up."""
    if not isinstance(adata, AnnData):
        msg = (
            f"adata is a {type(adata).__name__}; expected an anndata.AnnData, "
            "such as anndata.AnnData(frame) makes."
        )
        raise InputError(msg)
    if not adata.n_obs or (needs_genes and not adata.n_vars):
        msg = (
            f"adata is empty: {adata.n_obs} rows x {adata.n_vars} genes. Check the filter that "
            "was applied to it."
        )
        raise InputError(msg)
    if not adata.obs.columns.is_unique:
        doubled = adata.obs.columns[adata.obs.columns.duplicated()].unique()
        msg = (
            f"adata.obs has columns that stand more than once: {shorten(doubled)}. Keep one of "
            "each: adata.obs = adata.obs.loc[:, ~adata.obs.columns.duplicated()].copy()."
        )
        raise InputError(msg)
    for axis, given in (("var", adata.var_names), ("obs", adata.obs_names)):
        names = given.astype(str)  # 1 and "1" are one name in a file
        if not names.is_unique:
            doubled = names[names.duplicated()].unique()
            msg = (
                f"adata.{axis}_names holds {len(doubled)} names more than once, for instance "
                f"{shorten(doubled)}. {_UNIQUE[axis]}"
            )
            raise InputError(msg)


def _check_keys(
    adata: AnnData, columns: Mapping[str, Sequence[str]], *, require_domains: bool
) -> None:
    """Check that each argument names a column of its own that exists."""
    if require_domains and not columns["batch_key"]:
        msg = "batch_key names no column; expected the obs column that says which cohort a row is."
        raise InputError(msg)
    for argument, keys in columns.items():
        for key in keys:
            if not isinstance(key, str):
                msg = (
                    f"{argument}={key!r} is a {type(key).__name__}; expected the name of a column "
                    "of adata.obs."
                )
                raise InputError(msg)
            if key not in adata.obs:
                raise InputError(unknown_column(argument, key, adata.obs.columns))
            if not key or key.startswith("_scvi_"):
                msg = (
                    f"{argument}={key!r} is a name that scvi-tools keeps for itself. Copy the "
                    f"column: adata.obs['copy'] = adata.obs[{key!r}].astype(str)."
                )
                raise InputError(msg)
    count = Counter(key for keys in columns.values() for key in keys)
    for key, n_uses in count.items():
        if n_uses > 1:
            users = [argument for argument, keys in columns.items() if key in keys]
            msg = (
                f"obs column {key!r} is given {n_uses} times ({', '.join(users)}); each column "
                "can have one role."
            )
            raise InputError(msg)


def check_expression(adata: AnnData, layer: str | None, needs_differences: bool = False) -> None:
    """Refuse a missing layer, values that are not finite, negative counts, and rows all alike."""
    matrix = select_matrix(adata, layer)
    where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    try:
        summary = describe_matrix(matrix)
    except InputError as error:
        msg = f"{where}: {error}"
        raise InputError(msg) from error
    if summary.n_nonfinite:
        places = "; ".join(
            f"row {adata.obs_names[row]!r}, gene {adata.var_names[gene]!r}"
            for row, gene in locate_nonfinite(matrix)
        )
        msg = (
            f"{where} has {summary.n_nonfinite} values that are NaN, infinite or beyond 1e12, too "
            f"large for sums in single precision, the first at {places}. Fill them, or drop these "
            "rows or genes."
        )
        raise InputError(msg)
    if summary.n_negative and not summary.n_fractional:
        msg = (
            f"{where} holds whole numbers, {summary.n_negative} of them negative: counts cannot "
            "be. Replace codes such as -1 for missing values; scale other values first."
        )
        raise InputError(msg)
    if needs_differences and adata.n_obs > 1 and rows_are_alike(matrix):
        msg = (
            f"No gene differs between rows: all {adata.n_obs} hold the same {adata.n_vars} values "
            f"in {where}. Check which layer holds the expression values."
        )
        raise InputError(msg)


def _check_names(
    obs: pd.DataFrame,
    columns: Mapping[str, Sequence[str]],
    unlabeled_category: str,
    require_labels: bool,
    require_domains: bool,
) -> dict[str, Levels]:
    """Check the columns that hold names; returns what was found in each."""
    found: dict[str, Levels] = {}
    for argument in ("batch_key", "categorical_covariate_keys"):
        for key in columns[argument]:
            several = require_domains and argument == "batch_key" and len(columns[argument]) > 1
            found[key] = check_domains(obs[key], f"{argument}={key!r}", several=several)
    for argument in ("labels_key", "target_keys"):
        for key in columns[argument]:
            if argument == "target_keys" and is_number_column(obs[key]):
                continue
            found[key] = check_labels(obs[key], f"{argument}={key!r}", key)
            if require_labels:
                check_classes(found[key], f"{argument}={key!r}", unlabeled_category)
    return found


def _check_quantities(
    obs: pd.DataFrame, columns: Mapping[str, Sequence[str]], require_labels: bool
) -> None:
    for key in columns["target_keys"]:
        if is_number_column(obs[key]):
            check_numbers(obs[key], f"target_keys={key!r}", complete=False)
            if require_labels:
                check_spread(obs[key], f"target_keys={key!r}")
    for key in columns["size_factor_key"]:
        check_numbers(obs[key], f"size_factor_key={key!r}", positive=True)
    for key in columns["continuous_covariate_keys"]:
        check_numbers(obs[key], f"continuous_covariate_keys={key!r}")


def _remarks(
    obs: pd.DataFrame,
    levels: Mapping[str, Levels],
    columns: Mapping[str, Sequence[str]],
    unlabeled_category: str,
) -> list[str]:
    """Say what the user should know though the data can be used."""
    remarks: list[str] = []
    unused = {
        key: [name for name in found.unused if name != unlabeled_category]
        for key, found in levels.items()
    }
    if any(unused.values()):
        listed = "; ".join(f"{key}: {shorten(names)}" for key, names in unused.items() if names)
        remarks.append(f"Categories without a row are left out ({listed}).")
    for argument, keys in columns.items():
        missing = argument in {"labels_key", "target_keys"}
        for key in keys:
            if key in levels:
                remarks += name_remarks(obs[key], key, unlabeled_category, missing=missing)
    return remarks


def _say_one_cohort(levels: Levels, key: str) -> None:
    """Say what training on a single cohort means."""
    if len(levels.counts) == 1:
        logger.info(
            "batch_key=%r has one level, %s: nothing is aligned in training, and other cohorts are "
            "standardised when they are predicted. To learn from their rows as well, train on both "
            "together.",
            key,
            shorten(levels.counts),
        )


def _set_aside(
    levels: Mapping[str, Levels], columns: Mapping[str, Sequence[str]], unlabeled_category: str
) -> list[str]:
    """Say which classes have one labelled row, in one sentence for all columns."""
    found = []
    for key in (*columns["labels_key"], *columns["target_keys"]):
        count = levels[key].counts if key in levels else {}
        single = [name for name, n in count.items() if n == 1 and name != unlabeled_category]
        if single:
            n_classes = len(count.keys() - {unlabeled_category})
            found.append(f"{key}: {len(single)} of {n_classes}, {shorten(single)}")
    if not found:
        return []
    return [
        f"Classes with one labelled row are set aside ({'; '.join(found)}). They cannot be "
        "predicted, and their rows count as unlabelled."
    ]
