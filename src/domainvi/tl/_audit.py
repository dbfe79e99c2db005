"""Audit an AnnData: whether its labels can be transferred between its domains."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from domainvi.data import (
    check_setup,
    clean_names,
    describe_matrix,
    is_labelled,
    label_levels,
    select_matrix,
)
from domainvi.errors import InputError
from domainvi.trust import Audit, audit_arrays, probe_components

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

# The probe looks at this many rows and features at most: more would not change what it says.
_MAX_ROWS = 5000
_MAX_FEATURES = 2000


def audit_confounding(
    adata: AnnData,
    *,
    batch_key: str,
    labels_key: str | Sequence[str],
    label_tree: Mapping[str, str] | pd.DataFrame | None = None,
    unlabeled_category: str = "Unknown",
    layer: str | None = None,
) -> Audit:
    """Say, before training, whether the labels can be transferred between these domains.

    When one class sits in one cohort and another class in the other, nothing in the data tells the
    biology from the laboratory, and a model that makes the cohorts alike makes the classes alike.
    The audit counts classes by domain, measures how far they go together, and gives a verdict:
    "alignment allowed", "conditional only" (within classes) or "refused". A probe on principal
    components of up to 5,000 rows and the 2,000 most variable features (counts are scaled to the
    median total and logged) adds how well the domain can be told, over all rows and within classes.
    Nothing is written to the data.

    Parameters
    ----------
    adata
        The data.
    batch_key
        Column of ``adata.obs`` that names the domain.
    labels_key
        Column of ``adata.obs`` with class names, or several from coarse to fine. The classes are
        those of the finest level.
    label_tree
        Parent of each name, where one column has names of several depths, as
        :meth:`domainvi.DomainVI.setup_anndata` takes it.
    unlabeled_category
        Rows with this label, like rows without one, are unlabelled.
    layer
        Layer with the values for the probe, or ``None`` for ``adata.X``; no probe without either.

    Returns
    -------
    Numbers, verdict and a sentence; ``str()`` of it is what a report shows.

    Raises
    ------
    InputError
        If a column or the layer is missing, there is one domain only, or no row is labelled.

    Examples
    --------
    >>> adata = dv.data.cohorts()
    >>> audit = dv.tl.audit_confounding(adata, batch_key="cohort", labels_key="cancer_type")
    >>> audit.verdict
    'alignment allowed'
    """
    key, tree = label_levels(adata, labels_key, label_tree, unlabeled_category)
    check_setup(
        adata,
        batch_keys=[batch_key],
        labels_key=key,
        unlabeled_category=unlabeled_category,
        layer=layer,
        require_domains=False,
        check_values=layer is not None or adata.X is not None,
    )
    domain = clean_names(adata.obs[batch_key], missing=False)
    if len(names := domain.unique()) == 1:
        msg = (
            f"batch_key={batch_key!r} names one cohort, {names[0]!r}, in all {len(domain)} rows, "
            "and an audit compares cohorts. Add the rows, or on the command line files, of others, "
            "or name the column that has them."
        )
        raise InputError(msg)
    label = clean_names(adata.obs[key])
    if tree is not None:
        label = tree.classes_of(adata.obs, unlabeled_category)
    domain = domain.astype("category").cat.remove_unused_categories()
    label = label.where(is_labelled(label, unlabeled_category)).astype("category")
    label = label.cat.remove_unused_categories()
    d, y = (column.cat.codes.to_numpy(np.int64) for column in (domain, label))
    classes = label.cat.categories.astype(str).tolist()
    possible = None if tree is None else tree.possible(adata.obs, classes, unlabeled_category)
    audit = audit_arrays(
        d,
        y,
        coarse=None if possible is None else possible[0] > 0,
        domain_names=domain.cat.categories.astype(str).tolist(),
        class_names=classes,
    )
    if layer is None and adata.X is None:
        return audit
    rows = np.arange(len(d))
    if len(rows) > _MAX_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(len(d), _MAX_ROWS, replace=False))
    features = _features(adata[rows], layer)
    return dataclasses.replace(audit, probe=probe_components(features, d[rows], y[rows]))


def _features(part: AnnData, layer: str | None) -> NDArray[np.float64]:
    """Return the most variable features of some rows, counts scaled and logged."""
    matrix = select_matrix(part.to_memory() if part.isbacked else part, layer)
    summary = describe_matrix(matrix)
    values = sparse.csr_array(matrix, dtype=np.float64)
    if summary.kind == "counts":
        total = values.sum(axis=1)
        scale = np.median(total[total > 0]) if (total > 0).any() else 1.0
        factor = np.divide(scale, total, out=np.zeros_like(total), where=total > 0)
        values = sparse.csr_array(sparse.diags_array(factor) @ values).log1p()
    mean = values.mean(axis=0)
    variance = values.power(2).mean(axis=0) - mean**2
    chosen = np.sort(np.argsort(-variance, kind="stable")[:_MAX_FEATURES])
    return np.asarray(values[:, chosen].toarray())
