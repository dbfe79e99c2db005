"""Values of a matrix: which kind they are and which likelihood fits, read in chunks of rows.

Files on disk stay there. Sparse matrices are read with every entry in a place of its own.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import NDArray

MatrixKind = Literal["counts", "nonnegative", "real"]
Likelihood = Literal["nb", "zinb", "poisson", "normal"]

COUNT_LIKELIHOODS = ("nb", "zinb", "poisson")
LIKELIHOODS = ("auto", *COUNT_LIKELIHOODS, "normal")
# log2 of the largest intensity or count in use stays well below this.
LARGEST_LOG_VALUE = 50
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
    """

    n_nonzero: int = 0
    n_nonfinite: int = 0
    n_negative: int = 0
    n_fractional: int = 0
    maximum: float = 0.0

    @property
    def kind(self) -> MatrixKind:
        """``"counts"`` if whole and not negative, else ``"nonnegative"`` or ``"real"``."""
        if self.n_negative:
            return "real"
        return "nonnegative" if self.n_fractional else "counts"

    def __add__(self, other: MatrixSummary) -> MatrixSummary:
        """Summary of both parts together."""
        return MatrixSummary(
            self.n_nonzero + other.n_nonzero,
            self.n_nonfinite + other.n_nonfinite,
            self.n_negative + other.n_negative,
            self.n_fractional + other.n_fractional,
            max(self.maximum, other.maximum),
        )


def select_matrix(adata: AnnData, layer: str | None) -> Any:
    """Return ``adata.X`` or a layer, as it is stored; refuse one that does not exist."""
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


def canonical(matrix: Any) -> Any:
    """Add up the entries that a CSR or CSC matrix stores for the same place, and sort them.

    scipy allows such entries, and means their sum. What looks at one entry at a time, such as a
    logarithm, would take each for a value. Anything else is returned as it is; no input is changed.

    Examples
    --------
    >>> twice = sparse.csr_matrix(([1.0, 2.0], [0, 0], [0, 2]), shape=(1, 2))
    >>> canonical(twice).data, twice.data
    (array([3.]), array([1., 2.]))
    """
    if not sparse.issparse(matrix) or matrix.has_canonical_format:
        return matrix
    matrix = matrix.copy()
    matrix.sum_duplicates()
    return matrix


def computed(block: Any) -> Any:
    """Turn a lazy (dask) array into one in memory, and leave others as they are."""
    return block.compute() if hasattr(block, "compute") else block


def in_memory(matrix: Any) -> Any:
    """Read backed matrices, and bring sparse ones to canonical CSR, which serves rows quickly."""
    matrix = matrix.to_memory() if hasattr(matrix, "to_memory") else computed(matrix)
    if sparse.issparse(matrix):
        matrix = canonical(matrix if matrix.format == "csr" else matrix.tocsr())
    else:
        matrix = np.asarray(matrix)
    return matrix.astype(np.float32) if matrix.dtype == bool else matrix


def iter_row_chunks(matrix: Any) -> Iterator[tuple[int, Any]]:
    """Yield blocks of consecutive rows in memory, of about four million values, with their start.

    The matrix is dense, scipy sparse, or a backed matrix of an h5ad file; a block is an ndarray,
    or scipy sparse for sparse input.
    """
    step = _chunk_length(matrix.shape[1])
    if sparse.issparse(matrix):
        matrix = canonical(matrix.tocsr())
    for start in range(0, matrix.shape[0], step):
        block = canonical(computed(matrix[start : start + step]))
        yield start, block if sparse.issparse(block) else np.asarray(block)


def describe_matrix(matrix: Any) -> MatrixSummary:
    """Summarise all values; refuse values that are not numbers, and masked entries.

    Examples
    --------
    >>> describe_matrix(np.array([[0.5, 3.0], [-2.0, 0.0]])).kind
    'real'
    """
    if np.dtype(matrix.dtype).kind not in "biuf":
        msg = f"The matrix holds values of type {matrix.dtype}; expected real numbers."
        raise InputError(msg)
    if np.ma.is_masked(matrix):
        msg = "The matrix is a masked array with masked entries; fill or remove them first."
        raise InputError(msg)
    return sum((_describe_values(values) for values in _value_chunks(matrix)), MatrixSummary())


def matrix_kind(matrix: Any) -> MatrixKind:
    """Tell counts from other values.

    Parameters
    ----------
    matrix
        Dense array, scipy sparse, or a backed matrix of an h5ad file.

    Returns
    -------
    ``"counts"`` where every value is whole and not negative, whatever its type; ``"nonnegative"``
    where none is negative; else ``"real"``. Values that are not finite are left out.

    Examples
    --------
    >>> dv.data.matrix_kind(np.array([[0.0, 3.0]])), dv.data.matrix_kind(np.array([[0.5, -1.0]]))
    ('counts', 'real')
    """
    return describe_matrix(matrix).kind


def count_empty_rows(matrix: Any) -> int:
    """Count rows in which every value is 0."""
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


def check_likelihood(summary: MatrixSummary, likelihood: str) -> Likelihood:
    """Compare the promised likelihood with the values, and resolve ``"auto"``.

    Unknown likelihoods, and those for counts where values are not counts, are refused. A normal
    likelihood for values too large to be logarithms is warned about.

    Examples
    --------
    >>> check_likelihood(describe_matrix(np.array([[0, 3], [2, 0]])), "auto")
    'nb'
    """
    if likelihood not in LIKELIHOODS:
        msg = f"likelihood={likelihood!r} is unknown; expected one of {', '.join(LIKELIHOODS)}."
        raise InputError(msg)
    if likelihood == "auto":
        likelihood = "nb" if summary.kind == "counts" else "normal"
    if likelihood in COUNT_LIKELIHOODS and summary.kind != "counts":
        share = summary.n_fractional / max(summary.n_nonzero, 1)
        msg = (
            f"likelihood={likelihood!r} needs counts, but {share:.1%} of the values other than 0 "
            f"are not whole numbers ({summary.n_fractional} of {summary.n_nonzero}), and "
            f"{summary.n_negative} are negative. Use likelihood='normal' for log values, or pass "
            "the counts, for instance layer='counts'."
        )
        raise InputError(msg)
    if likelihood == "normal" and summary.maximum > LARGEST_LOG_VALUE:
        counts = ", or use likelihood='nb'." if summary.kind == "counts" else "."
        warnings.warn(
            f"likelihood='normal' expects values on a log scale, but the largest is "
            f"{summary.maximum:g} ({summary.kind}). Log-transform them, for instance with "
            f"scanpy.pp.log1p{counts}",
            UserWarning,
            stacklevel=3,
        )
    return likelihood  # type: ignore[return-value]


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


def dense_rows(matrix: Any, rows: Any) -> NDArray[np.float32]:
    """Read rows as they are, dense float32."""
    x = matrix[rows]
    x = x.toarray() if sparse.issparse(x) else np.asarray(x)
    return np.asarray(x, dtype=np.float32)


def cumulative(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum weights up, to 1 in the end; all zero without any."""
    total = weight.cumsum()
    return total / total[-1] if len(total) and total[-1] else total


def draw(total: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``n`` places with weights whose running sum is ``total``, as ``rng.choice`` does."""
    return total.searchsorted(rng.random(n), side="right")
