"""What kind of values a matrix holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from domainvi.data import (
    MatrixSummary,
    _matrix,
    describe_matrix,
)
from domainvi.data._matrix import iter_row_chunks, locate_nonfinite

FORMATS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.coo_array]
MIXED = np.array([[0, 2, -1.5], [np.nan, 0, 7], [0.25, -np.inf, 0], [3, 4, -2]])


def dense(block: Any) -> np.ndarray:
    return block.toarray() if sparse.issparse(block) else block


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_matrix, "_CHUNK_VALUES", 4)


@pytest.mark.parametrize("convert", FORMATS)
@pytest.mark.usefixtures("small_chunks")
def test_the_summary_counts_over_all_chunks(convert: Callable[[Any], Any]) -> None:
    assert describe_matrix(convert(MIXED)) == MatrixSummary(
        n_nonzero=7, n_nonfinite=2, n_negative=2, n_fractional=2, maximum=7.0
    )


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.usefixtures("small_chunks")
def test_a_file_is_summed_up_like_memory(tmp_path: Path, convert: Callable[[Any], Any]) -> None:
    ad.AnnData(convert(MIXED)).write_h5ad(tmp_path / "mixed.h5ad")
    backed = ad.read_h5ad(tmp_path / "mixed.h5ad", backed="r")
    assert describe_matrix(backed.X) == describe_matrix(MIXED)
    assert locate_nonfinite(backed.X) == [(1, 0), (2, 1)]
    backed.file.close()


class Counting:
    """A dense matrix that remembers the largest block it was asked for."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype, self.largest = values, values.shape, values.dtype, 0

    def __getitem__(self, rows: slice) -> np.ndarray:
        block = self.values[rows]
        self.largest = max(self.largest, len(block))
        return block


@pytest.mark.usefixtures("small_chunks")
def test_no_more_than_a_chunk_is_read_at_once() -> None:
    matrix = Counting(np.ones((50, 2)))
    assert describe_matrix(matrix).n_nonzero == 100
    assert matrix.largest == 2


@pytest.mark.parametrize("convert", FORMATS)
@pytest.mark.parametrize("n_rows", [1, 3, 4, 9])
def test_chunks_put_together_are_the_matrix(
    convert: Callable[[Any], Any], n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_matrix, "_CHUNK_VALUES", 3 * n_rows)
    chunks = list(iter_row_chunks(convert(MIXED)))
    assert [start for start, _ in chunks] == list(range(0, 4, n_rows))
    np.testing.assert_array_equal(np.vstack([dense(block) for _, block in chunks]), MIXED)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_whole_numbers_are_counts_in_any_type(dtype: Any, convert: Callable[[Any], Any]) -> None:
    assert describe_matrix(convert(np.array([[0, 1], [1, 0]]).astype(dtype))).kind == "counts"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[0.0, 0.0]], "counts"),
        ([[0.0, 3.0]], "counts"),
        ([[np.nan, 3.0]], "counts"),
        ([[0.0, 3.5]], "nonnegative"),
        ([[-1.0, 3.0]], "real"),
        ([[-0.5, 3.5]], "real"),
    ],
)
def test_the_kind_of_values(values: list[list[float]], kind: str) -> None:
    assert describe_matrix(np.array(values)).kind == kind


def test_the_first_faults_are_located_in_reading_order() -> None:
    matrix = np.zeros((5, 4), dtype=np.float32)
    matrix[[1, 3, 3, 4], [2, 0, 1, 3]] = np.nan
    for convert in FORMATS:
        assert locate_nonfinite(convert(matrix)) == [(1, 2), (3, 0), (3, 1)]
    assert locate_nonfinite(np.zeros((2, 2))) == []


def test_half_precision_is_read_too() -> None:
    matrix = np.array([[1, np.nan], [0.5, 2]], dtype=np.float16)
    assert describe_matrix(matrix) == MatrixSummary(3, 1, 0, 1, 2.0)
    assert locate_nonfinite(matrix) == [(0, 1)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint64"])
def test_values_whose_squares_leave_single_precision_are_not_finite(dtype: str) -> None:
    values = np.array([[2_000_000_000_000, 999_999_999_999]]).astype(dtype)
    assert describe_matrix(values).n_nonfinite == 1
