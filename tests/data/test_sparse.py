"""Entries that a sparse matrix stores for the same place are summed, and the user's stays."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from domainvi.data import describe_matrix
from domainvi.data._disk import DiskMatrix
from domainvi.data._prepare import Columns, prepare


def twice(kind=sparse.csr_matrix):
    """``[[0, 3], [1, 0]]`` with the 3 in two halves and the 1 before a stored zero."""
    parts = ([1.5, 1.5, 0.0, 1.0], [1, 1, 1, 0], [0, 2, 4])
    if issubclass(kind, sparse.csc_matrix | sparse.csc_array):
        parts = ([1.0, 1.5, 1.5], [1, 0, 0], [0, 1, 3])
    return kind(parts, shape=(2, 2))


KINDS = [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, sparse.csc_array]


@pytest.mark.parametrize("kind", KINDS)
def test_prepared_matrices_are_canonical_and_the_users_is_not_touched(kind):
    matrix = twice(kind)
    before = matrix.data.copy()
    obs = pd.DataFrame({"domain": ["a", "b"], "label": ["x", "y"]}, index=["1", "2"])
    prepared = prepare(ad.AnnData(matrix, obs=obs), Columns(("domain",), "label"))
    assert prepared.X.has_canonical_format
    np.testing.assert_array_equal(prepared.X.toarray(), [[0, 3], [1, 0]])
    np.testing.assert_array_equal(matrix.data, before)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_described_by_their_sums(kind):
    found = describe_matrix(twice(kind))
    assert (found.kind, found.n_nonzero, found.maximum) == ("counts", 2, 3.0)


def test_rows_from_a_file_are_canonical():
    rows = DiskMatrix(twice())[0:2]
    assert rows.has_canonical_format
    np.testing.assert_array_equal(rows.toarray(), [[0, 3], [1, 0]])


def test_a_canonical_matrix_is_shared():
    matrix = sparse.csr_matrix([[0.0, 3.0], [1.0, 0.0]])
    obs = pd.DataFrame({"domain": ["a", "b"], "label": ["x", "y"]}, index=["1", "2"])
    prepared = prepare(ad.AnnData(matrix, obs=obs), Columns(("domain",), "label"))
    assert np.shares_memory(prepared.X.data, matrix.data)
