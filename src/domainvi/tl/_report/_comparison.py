"""Predictions beside true labels, on rows whose labels did not teach the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from domainvi import _keys as keys
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data._columns import is_labelled
from domainvi.metrics import accuracy, balanced_accuracy, macro_f1
from domainvi.model._taught import fingerprints

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi import DomainVI


@dataclass(frozen=True)
class Comparison:
    """What was compared.

    Parameters
    ----------
    truth
        Column with the true labels.
    rows
        Rows that were compared, shape ``(n_rows,)``.
    scores
        Agreement by name; empty if there is no such row.
    remark
        Which labelled rows were left out, and what is not known of the others.
    """

    truth: str
    rows: NDArray[np.bool_]
    scores: dict[str, float]
    remark: str


def compare(model: DomainVI, adata: AnnData, truth: str) -> Comparison:
    """Score the predictions of rows that have a true label and did not teach the model."""
    setup = model.registry_[SETUP_ARGS_KEY]
    predicted = adata.obs[keys.prediction(setup["labels_key"])]
    labelled = is_labelled(adata.obs[truth], setup["unlabeled_category"])
    labelled &= predicted.notna().to_numpy()
    taught = np.isin(fingerprints(adata.obs_names), model._taught())
    rows = labelled & ~taught
    names = (column[rows].astype(str).to_numpy() for column in (adata.obs[truth], predicted))
    remark = _remark(int((labelled & taught).sum()), int(rows.sum()), model.taught_ is not None)
    return Comparison(truth, rows, _scores(*names) if rows.any() else {}, remark)


def _scores(truth: NDArray[np.object_], predicted: NDArray[np.object_]) -> dict[str, float]:
    return {
        "rows with a true label": float(len(truth)),
        "macro-F1": macro_f1(truth, predicted),
        "balanced accuracy": balanced_accuracy(truth, predicted),
        "accuracy": accuracy(truth, predicted),
    }


def _remark(n_taught: int, n_rows: int, is_known: bool) -> str:
    said = []
    if n_taught:
        said.append(
            f"Left out: {n_taught:,} rows with the name of one whose label taught the model."
        )
    if not n_rows:
        said.append("No other row has a true label." if n_taught else "No row has a true label.")
    elif not is_known:
        said.append(
            "The model was saved by an earlier version, which did not note the rows whose labels "
            "taught it: such rows may be among those that are scored."
        )
    return " ".join(said)
