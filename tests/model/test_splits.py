"""Rows are split as the user says, and labels of rows that are left aside are never read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import domainvi as dv
from domainvi.errors import InputError

from .conftest import QUIET, small_cohorts

TRAIN, VALIDATION, TEST = np.arange(140), np.arange(140, 180), np.arange(180, 240)


def fit(labels: np.ndarray | None = None, **kwargs: Any) -> dv.DomainVI:
    data = small_cohorts()
    data.obs["seen"] = data.obs["label_true"].astype(str) if labels is None else labels
    dv.DomainVI.setup_anndata(data, batch_key="domain", labels_key="seen")
    model = dv.DomainVI(data)
    model.train(max_epochs=2, **kwargs, **QUIET)
    return model


def test_rows_are_those_that_were_named() -> None:
    model = fit(datasplitter_kwargs={"external_indexing": [TRAIN[::-1], VALIDATION, TEST]})
    assert set(model.train_indices) == set(TRAIN)
    assert set(model.validation_indices) == set(VALIDATION)
    assert set(model.test_indices) == set(TEST)


def test_labels_of_a_test_are_never_read() -> None:
    indexing = {"external_indexing": [TRAIN, VALIDATION]}
    model = fit(datasplitter_kwargs=indexing)
    wrong = model.adata.obs["seen"].to_numpy().copy()
    wrong[TEST] = np.roll(wrong[TEST], 1)
    assert (wrong != model.adata.obs["seen"]).sum() > 20
    other = fit(wrong, datasplitter_kwargs=indexing)
    np.testing.assert_array_equal(model.predict(soft=True), other.predict(soft=True))
    np.testing.assert_array_equal(
        model.get_latent_representation(), other.get_latent_representation()
    )
    everything = fit(wrong)
    assert not np.array_equal(model.predict(soft=True), everything.predict(soft=True))


def test_shares_of_training_and_validation_leave_a_test() -> None:
    model = fit(train_size=0.5, validation_size=0.25)
    parts = (model.train_indices, model.validation_indices, model.test_indices)
    assert [len(part) for part in parts] == pytest.approx([120, 60, 60], abs=2)
    assert len(np.unique(np.concatenate(parts))) == 240
    model.train(max_epochs=1, **QUIET)  # the next training reads all labels again
    assert len(model.test_indices) == 0


def test_a_training_that_was_split_by_hand_can_be_repeated() -> None:
    model = fit(datasplitter_kwargs={"external_indexing": [TRAIN, VALIDATION]})
    again = model._retrained(model.seed)
    np.testing.assert_array_equal(again.predict(), model.predict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_size": 0.9, "validation_size": 0.2}, "must be from 0 to 0.1"),
        ({"datasplitter_kwargs": {"drop_last": True}}, "has drop_last; it takes external_indexing"),
        ({"datasplitter_kwargs": {"external_indexing": [TRAIN]}}, "holds 1 parts"),
        ({"datasplitter_kwargs": {"external_indexing": [TRAIN, TRAIN]}}, "140 rows twice"),
        ({"datasplitter_kwargs": {"external_indexing": [TRAIN, [999]]}}, "from 0 to 239"),
        ({"datasplitter_kwargs": {"external_indexing": [[0.5], TEST]}}, "lists of row numbers"),
        ({"datasplitter_kwargs": {"external_indexing": [[], TEST]}}, "0 rows of training"),
    ],
)
def test_splits_that_are_none_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(**arguments)


def test_rows_of_training_without_a_label_are_refused() -> None:
    labels = small_cohorts().obs["label_true"].astype(str).to_numpy().copy()
    labels[:180] = "Unknown"
    with pytest.raises(InputError, match="None of 140 rows of training is labelled"):
        fit(labels, datasplitter_kwargs={"external_indexing": [TRAIN, VALIDATION]})
