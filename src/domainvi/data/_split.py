"""Which rows are trained on, validated on, and left aside."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from domainvi.errors import InputError

from ._loaders import stratified_split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ._prepare import PreparedAnnData

INDEXING = "external_indexing"


class Rows(NamedTuple):
    """Row numbers to train on, to validate on, and those whose labels are not read at all."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def check_split(
    train_size: float, validation_size: float | None, splitter: Mapping[str, Any] | None
) -> None:
    """Refuse shares that are none, and arguments of a splitter that are not known."""
    if not isinstance(train_size, Real) or not 0 < train_size <= 1:
        msg = f"train_size={train_size!r} must be above 0 and at most 1."
        raise InputError(msg)
    rest = 1 - train_size
    if validation_size is not None and (
        not isinstance(validation_size, Real) or not 0 <= validation_size <= rest + 1e-9
    ):
        msg = (
            f"validation_size={validation_size!r} must be from 0 to {rest:.4g}, what "
            f"train_size={train_size!r} leaves."
        )
        raise InputError(msg)
    if unknown := sorted(set(splitter or ()) - {INDEXING}):
        msg = (
            f"datasplitter_kwargs has {', '.join(unknown)}; it takes {INDEXING}, a list of row "
            "numbers of training, validation and, if any, test. No batch is dropped or too small."
        )
        raise InputError(msg)


def hide_test_rows(prepared: PreparedAnnData, label: NDArray[np.int64], rows: Rows) -> None:
    """Let the rows of the test count as unlabelled from here on."""
    known = label >= 0
    known[rows.test] = False
    if not known.any():
        msg = f"None of {len(rows.train)} rows of training is labelled. Add some that are."
        raise InputError(msg)
    prepared.hidden = np.isin(np.arange(prepared.n_obs), rows.test)


def split_arguments(
    validation_size: float | None, splitter: dict[str, Any] | None
) -> dict[str, Any]:
    """Return arguments to repeat a training with, where its split is not the usual one."""
    found: dict[str, Any] = {}
    if validation_size is not None:
        found["validation_size"] = float(validation_size)
    if splitter:
        parts = [np.asarray(part).tolist() for part in splitter[INDEXING]]
        found["datasplitter_kwargs"] = {INDEXING: parts}
    return found


def split_rows(
    prepared: PreparedAnnData,
    label: NDArray[np.int64],
    train_size: float,
    validation_size: float | None,
    splitter: Mapping[str, Any] | None,
    seed: int,
) -> Rows:
    """Split rows alike in every domain and class, or as the user says."""
    if splitter:
        return given_rows(splitter[INDEXING], prepared.order)
    order, domain = prepared.order, prepared.domain
    test = order[:0]
    if validation_size is not None and train_size + validation_size < 1 - 1e-9:
        kept = train_size + validation_size
        used, aside = stratified_split(domain[order], label[order], 1 - kept, seed)
        order, test, train_size = order[used], order[aside], train_size / kept
    train, validation = stratified_split(domain[order], label[order], 1 - train_size, seed)
    return Rows(order[train], order[validation], np.sort(test))


def given_rows(parts: Any, order: NDArray[np.int64]) -> Rows:
    """Check row numbers that were passed; rows that are in no part are of the test."""
    n_obs = len(order)
    found = [np.asarray(part) for part in parts]
    if len(found) not in (2, 3) or any(
        p.ndim != 1 or (p.size and p.dtype.kind not in "iu") for p in found
    ):
        msg = (
            f"{INDEXING} holds {len(found)} parts of {', '.join(str(p.dtype) for p in found)}; "
            "expected two or three lists of row numbers: training, validation and test."
        )
        raise InputError(msg)
    train, validation, *_ = found = [part.astype(np.int64) for part in found]
    rows = np.concatenate(found)
    n_twice = len(rows) - len(np.unique(rows))
    if not len(train) or rows.min() < 0 or rows.max() >= n_obs or n_twice:
        msg = (
            f"{INDEXING} holds {len(train)} rows of training, and {n_twice} rows twice; expected "
            f"one row or more of training, each once, with numbers from 0 to {n_obs - 1}."
        )
        raise InputError(msg)
    is_train, is_validation = np.isin(order, train), np.isin(order, validation)
    return Rows(order[is_train], order[is_validation], np.sort(order[~is_train & ~is_validation]))
