"""Compare predictions with true labels, on rows whose labels the model was not trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from domainvi import _keys as keys
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import is_labelled, row_ids
from domainvi.metrics import accuracy, balanced_accuracy, macro_f1
from domainvi.model import all_row_ids

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
        Which labelled rows were left out, and why there are no others if there are none.
    """

    truth: str
    rows: NDArray[np.bool_]
    scores: dict[str, float]
    remark: str


def compare(model: DomainVI, adata: AnnData, truth: str) -> Comparison:
    """Score predictions on rows that have a true label and that the model did not learn from."""
    setup = model.registry_[SETUP_ARGS_KEY]
    predicted = adata.obs[keys.prediction(setup["labels_key"])]
    known = predicted.notna().to_numpy()
    labelled = known & is_labelled(adata.obs[truth], setup["unlabeled_category"])
    known_to_model = np.isin(row_ids(adata.obs_names), all_row_ids(model))
    rows = labelled & ~known_to_model
    names = (column[rows].astype(str).to_numpy() for column in (adata.obs[truth], predicted))
    remark = _remark(int((labelled & known_to_model).sum()), int(rows.sum()))
    return Comparison(truth, rows, _scores(*names) if rows.any() else {}, remark)


def _scores(truth: NDArray[np.object_], predicted: NDArray[np.object_]) -> dict[str, float]:
    return {
        "rows with a true label": float(len(truth)),
        "macro-F1": macro_f1(truth, predicted),
        "balanced accuracy": balanced_accuracy(truth, predicted),
        "accuracy": accuracy(truth, predicted),
    }


def _remark(n_left_out: int, n_rows: int) -> str:
    sentences = []
    if n_left_out:
        sentences.append(
            f"Left out: {n_left_out:,} rows with the name of one whose label taught the model."
        )
    if not n_rows:
        sentences.append(f"No {'other ' if n_left_out else ''}row has a true label.")
    return " ".join(sentences)
