"""Sparse matrices whose entries each have a place of their own."""

from __future__ import annotations

from typing import Any

from scipy import sparse


def canonical(matrix: Any) -> Any:
    """Add up the entries that a CSR or CSC matrix stores for the same place, and sort them.

    scipy allows such entries, and means their sum. What looks at one entry at a time, such as a
    logarithm, would take each for a value. Anything else is returned as it is.

    Parameters
    ----------
    matrix
        Any matrix; it is not changed.

    Examples
    --------
    >>> from scipy import sparse
    >>> twice = sparse.csr_matrix(([1.0, 2.0], [0, 0], [0, 2]), shape=(1, 2))
    >>> canonical(twice).data, twice.data
    (array([3.]), array([1., 2.]))
    """
    if not sparse.issparse(matrix) or matrix.has_canonical_format:
        return matrix
    matrix = matrix.copy()
    matrix.sum_duplicates()
    return matrix
