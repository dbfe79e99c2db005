"""Fingerprints of values, arrays and row names: what changed, and which rows were in training."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ._matrix import iter_row_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_ID_BYTES = 8


def matrix_digest(matrix: Any) -> str:
    """Fingerprint of the sums of rows and of genes, to six digits; also of a matrix in a file."""
    by_row, by_gene = [], np.zeros(matrix.shape[1])
    for _, rows in iter_row_chunks(matrix):
        by_row.append(np.asarray(rows.sum(axis=1, dtype=np.float64)).ravel())
        by_gene += np.asarray(rows.sum(axis=0, dtype=np.float64)).ravel()
    text = " ".join(f"{value:.6g}" for value in np.concatenate([*by_row, by_gene]))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def array_digest(values: np.ndarray) -> str:
    """Fingerprint of an array, bit by bit."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def row_ids(names: Iterable[Any]) -> NDArray[np.int64]:
    """Eight bytes for each row name, the same on every machine.

    Examples
    --------
    >>> int(row_ids(["a", "b"])[0]) == int(row_ids(["a"])[0])
    True
    """
    hashes = (
        hashlib.blake2b(str(name).encode("utf-8", "surrogatepass"), digest_size=_ID_BYTES).digest()
        for name in names
    )
    return np.frombuffer(b"".join(hashes), dtype="<i8").astype(np.int64)


def validate_row_ids(found: NDArray[Any]) -> NDArray[np.int64]:
    """Refuse what cannot be row ids from a file."""
    if found.dtype != np.int64 or found.ndim != 1:
        msg = f"ids of the training rows are {found.dtype} of {found.ndim} dimensions"
        raise ValueError(msg)
    return found
