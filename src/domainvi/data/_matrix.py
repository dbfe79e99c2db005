"""What kind of values a matrix holds, read in chunks so that files on disk stay there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from domainvi.errors import InputError

from ._disk import computed
from ._sparse import canonical

MatrixKind = Literal["counts", "nonnegative", "real"]

# Values held at once: 32 MB in double precision.
_CHUNK_VALUES = 2**22
# Beyond it, sums of squares over all genes leave the range of single precision.
_LARGEST = 1e12


@dataclass(frozen=True)
class MatrixSummary:
    """What a pass over all values of a matrix found.

    Parameters
    ----------
    n_nonzero
        Number of finite values other than 0.
    n_nonfinite
        Number of values that are NaN, infinite or beyond 1e12.
    n_negative
        Number of values below 0.
    n_fractional
        Number of finite values that are not whole.
    maximum
        Largest finite value, 0 if there is none above it.

    Examples
    --------
    >>> import numpy as np
    >>> from domainvi.data import describe_matrix
    >>> describe_matrix(np.array([[0, 3], [2, 0]])).kind
    'counts'
    """

    n_nonzero: int = 0
    n_nonfinite: int = 0
    n_negative: int = 0
    n_fractional: int = 0
    maximum: float = 0.0

    @property
    def kind(self) -> MatrixKind:
        """`"counts"` if whole and not negative, else `"nonnegative"` or `"real"`."""
        if self.n_negative:
            return "real"
        return "nonnegative" if self.n_fractional else "counts"

    @property
    def fractional_share(self) -> float:
        """Share of the values other than 0 that are not whole."""
        return self.n_fractional / max(self.n_nonzero, 1)

    def __add__(self, other: "MatrixSummary") -> "MatrixSummary":
        """Summary of both parts together."""
        return MatrixSummary(
            self.n_nonzero + other.n_nonzero,
            self.n_nonfinite + other.n_nonfinite,
            self.n_negative + other.n_negative,
            self.n_fractional + other.n_fractional,
            max(self.maximum, other.maximum),
        )


def select_matrix(adata: AnnData, layer: str | None) -> Any:
    """Return `adata.X` or a layer, as it is stored.

    Raises
    ------
    InputError
        If the layer does not exist, or `X` is asked for and there is none.
    """
    # From anndata 0.13 on, X is also the layer None.
    known = ", ".join(sorted(repr(name) for name in adata.layers if name is not None)) or "none"
    if layer is None:
        if adata.X is None:
            msg = f"adata.X is None; pass layer=. Layers: {known}."
            raise InputError(msg)
        return adata.X
    if not isinstance(layer, str) or layer not in adata.layers:
        msg = f"layer={layer!r} is not in adata.layers. Layers: {known}. layer=None uses adata.X."
        raise InputError(msg)
    return adata.layers[layer]


def iter_row_chunks(matrix: Any, n_rows: int | None = None) -> Iterator[tuple[int, Any]]:
    """Yield blocks of consecutive rows, in memory.

    Parameters
    ----------
    matrix
        Dense array, scipy sparse, or a backed matrix of an h5ad file.
    n_rows
        Rows of a block; by default as many as hold about four million values.

    Yields
    ------
    The number of the first row, and the block: an ndarray, or scipy sparse for sparse input.

    Examples
    --------
    >>> import numpy as np
    >>> from domainvi.data import iter_row_chunks
    >>> [(start, block.shape) for start, block in iter_row_chunks(np.ones((5, 3)), n_rows=2)]
    [(0, (2, 3)), (2, (2, 3)), (4, (1, 3))]
    """
    step = n_rows or _chunk_length(matrix.shape[1])
    if sparse.issparse(matrix):
        matrix = canonical(matrix.tocsr())
    for start in range(0, matrix.shape[0], step):
        block = canonical(computed(matrix[start : start + step]))
        yield start, block if sparse.issparse(block) else np.asarray(block)


def describe_matrix(matrix: Any) -> MatrixSummary:
    """Summarise all values of a matrix.

    Parameters
    ----------
    matrix
        As for `iter_row_chunks`.

    Raises
    ------
    InputError
        If the values are not numbers, or entries are masked.

    Examples
    --------
    >>> import numpy as np
    >>> from domainvi.data import describe_matrix
    >>> describe_matrix(np.array([[0.5, 3.0], [-2.0, 0.0]])).kind
    'real'
    """
    _check_numeric(matrix)
    return sum((_describe_values(values) for values in _value_chunks(matrix)), MatrixSummary())


def matrix_kind(matrix: Any) -> MatrixKind:
    """Tell counts from other values.

    Parameters
    ----------
    matrix
        As for `iter_row_chunks`.

    Returns
    -------
    `"counts"` where every value is whole and not negative, whatever its type; `"nonnegative"` where
    none is negative; else `"real"`. Values that are not finite are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from domainvi.data import matrix_kind
    >>> matrix_kind(np.array([[0.0, 3.0]])), matrix_kind(np.array([[0.5, -1.0]]))
    ('counts', 'real')
    """
    return describe_matrix(matrix).kind


def count_empty_rows(matrix: Any) -> int:
    """Count rows in which every value is 0.

    Parameters
    ----------
    matrix
        As for `iter_row_chunks`.

    Examples
    --------
    >>> import numpy as np
    >>> from domainvi.data import count_empty_rows
    >>> count_empty_rows(np.array([[0, 0], [0, 3]]))
    1
    """
    found = (np.asarray((block != 0).sum(axis=1)) for _, block in iter_row_chunks(matrix))
    return sum(int((values == 0).sum()) for values in found)


def locate_nonfinite(matrix: Any, limit: int = 3) -> list[tuple[int, int]]:
    """Row and column of the first values that are NaN, infinite or too large."""
    found: list[tuple[int, int]] = []
    for start, block in iter_row_chunks(matrix):
        if sparse.issparse(block):
            part = block.tocsr().tocoo()
            bad = ~_is_finite(part.data)
            rows, columns = part.row[bad], part.col[bad]
        else:
            rows, columns = np.nonzero(~_is_finite(block))
        found += zip((start + rows).tolist(), columns.tolist(), strict=True)
        if len(found) >= limit:
            break
    return found[:limit]


def _check_numeric(matrix: Any) -> None:
    if np.dtype(matrix.dtype).kind not in "biuf":
        msg = f"The matrix holds values of type {matrix.dtype}; expected real numbers."
        raise InputError(msg)
    if np.ma.is_masked(matrix):
        msg = "The matrix is a masked array with masked entries; fill or remove them first."
        raise InputError(msg)


def _chunk_length(n_across: int) -> int:
    return max(1, _CHUNK_VALUES // max(n_across, 1))


def _value_chunks(matrix: Any) -> Iterator[NDArray[Any]]:
    """Values in any order; zeros that a sparse matrix does not store are left out."""
    if sparse.issparse(matrix):
        stored = canonical(matrix if matrix.format in {"csr", "csc"} else matrix.tocsr())
        for start in range(0, stored.nnz, _CHUNK_VALUES):
            yield stored.data[start : min(start + _CHUNK_VALUES, stored.nnz)]
    elif getattr(matrix, "format", None) == "csc":
        # A file that is stored by columns would be read whole for every block of rows.
        step = _chunk_length(matrix.shape[0])
        for start in range(0, matrix.shape[1], step):
            yield canonical(matrix[:, start : start + step]).data
    else:
        for _, block in iter_row_chunks(matrix):
            yield block.data if sparse.issparse(block) else block.reshape(-1)


def _describe_values(values: NDArray[Any]) -> MatrixSummary:
    finite = _is_finite(values)
    n_nonfinite = int(values.size - np.count_nonzero(finite))
    if n_nonfinite:
        values = values[finite]
    whole_type = values.dtype.kind in "biu"
    return MatrixSummary(
        n_nonzero=int(np.count_nonzero(values)),
        n_nonfinite=n_nonfinite,
        n_negative=int(np.count_nonzero(values < 0)),
        n_fractional=0 if whole_type else int(np.count_nonzero(values != np.floor(values))),
        maximum=float(values.max(initial=0)),
    )


def _is_finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind in "biu":
        if values.dtype.itemsize < 8:
            return np.ones(values.shape, dtype=bool)
        values = values.astype(np.float64)
    # Half precision cannot hold the limit itself.
    return np.asarray(np.abs(values) <= min(_LARGEST, float(np.finfo(values.dtype).max)))
