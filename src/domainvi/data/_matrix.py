"""Values of a matrix: their kind, the likelihood that fits, their logarithm and fingerprint.

Files on disk stay there, and are read in chunks of rows. Sparse matrices are read with every entry
in a place of its own.
"""

from __future__ import annotations

import hashlib
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

Likelihood = Literal["nb", "zinb", "poisson", "normal"]

COUNT_LIKELIHOODS = ("nb", "zinb", "poisson")
LIKELIHOODS = ("auto", *COUNT_LIKELIHOODS, "normal")
# log2 of the largest intensity or count in use stays well below this.
LARGEST_LOG_VALUE = 50
# Share of fractions up to which large values may be counts.
_MOSTLY_WHOLE = 0.5
# Values held at once: 32 MB in double precision.
_CHUNK_VALUES = 2**22
# Library sizes to scale to, and counts of a gene from which data are bulk.
_SINGLE_CELL_TOTAL = 1e4
_BULK_TOTAL = 1e6
_BULK_COUNTS_A_GENE = 20
# Beyond it, sums of squares over all genes leave the range of single precision.
_LARGEST = 1e12


@dataclass(frozen=True)
class MatrixSummary:
    """Numbers of finite values that are not 0, negative, not whole; of NaN, infinite or huge ones.

    The maximum is the largest finite value, 0 if there is none above it.
    """

    n_nonzero: int = 0
    n_nonfinite: int = 0
    n_negative: int = 0
    n_fractional: int = 0
    maximum: float = 0.0

    @property
    def kind(self) -> Literal["counts", "nonnegative", "real"]:
        """``"counts"`` if whole and not negative, whatever the type of the values."""
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
            msg = f"adata.X is None; pass layer=. Layers: {known}.{raw_hint(adata)}"
            raise InputError(msg)
        return adata.X
    if not isinstance(layer, str) or layer not in adata.layers:
        msg = f"layer={layer!r} is not in adata.layers. Layers: {known}. layer=None uses adata.X."
        raise InputError(msg)
    return adata.layers[layer]


def raw_hint(adata: AnnData) -> str:
    """Say how to get at the values in ``.raw``, where there are some."""
    if adata.raw is None:
        return ""
    kind = "counts" if describe_matrix(adata.raw.X).kind == "counts" else "values"
    return (
        f" adata.raw has {kind} of {adata.raw.n_vars} genes: use adata.raw.to_adata(), and write "
        "it as h5ad for the command line."
    )


def fraction_hint(summary: MatrixSummary) -> str:
    """Say how to round, where values are too large for logarithms and not whole."""
    if summary.kind != "nonnegative" or summary.maximum <= LARGEST_LOG_VALUE:
        return ""
    share = summary.n_fractional / max(summary.n_nonzero, 1)
    if share > _MOSTLY_WHOLE:
        return ""
    return (
        f" {share:.1%} of the values other than 0 have fractions: if they are counts of RSEM, "
        "salmon, CellBender or SoupX, round them, adata.X = numpy.rint(adata.X); TPM or FPKM need "
        "log2(x + 1)."
    )


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


def take_present(matrix: Any, source: NDArray[np.int64], axis: int) -> Any:
    """Take rows (axis 0) or columns (1) by number, -1 for zeros; uncopied where nothing moves.

    Examples
    --------
    >>> take_present(np.array([[1, 2], [3, 4]]), np.array([1, -1]), axis=0).tolist()
    [[3, 4], [0, 0]]
    """
    matrix = matrix.tocsr() if sparse.issparse(matrix) else matrix
    if np.array_equal(source, np.arange(matrix.shape[axis])):
        return matrix
    shape = (1, matrix.shape[1]) if axis == 0 else (matrix.shape[0], 1)
    if not sparse.issparse(matrix):
        zeros = np.zeros(shape, dtype=matrix.dtype)
        return np.concatenate([matrix, zeros], axis=axis).take(source, axis=axis)
    stack = sparse.vstack if axis == 0 else sparse.hstack
    extended = stack([matrix, sparse.csr_matrix(shape, dtype=matrix.dtype)], format="csr")
    taken = extended[source] if axis == 0 else extended[:, source]
    taken.sort_indices()
    return taken


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
        msg = (
            f"The matrix holds values of type {matrix.dtype}; expected real numbers. "
            "Convert them, such as adata.X = adata.X.astype('float32')."
        )
        raise InputError(msg)
    if np.ma.is_masked(matrix):
        msg = (
            "The matrix is a masked array with masked entries; fill or remove them first, such as "
            "adata.X = adata.X.filled(0)."
        )
        raise InputError(msg)
    return sum((_describe_values(values) for values in _value_chunks(matrix)), MatrixSummary())


def rows_are_alike(matrix: Any) -> bool:
    """Whether all rows hold the same values, so that nothing can be told from them.

    Examples
    --------
    >>> rows_are_alike(np.array([[1, 2], [1, 2]])), rows_are_alike(np.eye(2))
    (True, False)
    """
    first = None
    for _, block in iter_row_chunks(matrix):
        rows = block.toarray() if sparse.issparse(block) else block
        first = rows[:1] if first is None else first
        if (rows != first).any():
            return False
    return True


def count_empty_rows(matrix: Any) -> int:
    """Count rows in which every value is 0."""
    found = (np.asarray((block != 0).sum(axis=1)) for _, block in iter_row_chunks(matrix))
    return sum(int((values == 0).sum()) for values in found)


def locate_nonfinite(matrix: Any) -> list[tuple[int, int]]:
    """Row and column of the first three values that are NaN, infinite or too large."""
    found: list[tuple[int, int]] = []
    for start, block in iter_row_chunks(matrix):
        part = sparse.coo_matrix(block.astype(np.float64))
        bad = ~_is_finite(part.data)
        found += zip((start + part.row[bad]).tolist(), part.col[bad].tolist(), strict=True)
        if len(found) >= 3:
            break
    return found[:3]


def check_likelihood(summary: MatrixSummary, likelihood: str, trained: bool = False) -> Likelihood:
    """Compare the promised likelihood with the values, and resolve ``"auto"``.

    Unknown likelihoods, and those for counts where values are not counts, are refused. A normal
    likelihood for values too large to be logarithms is warned about before a model is ``trained``.

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
        remedy = (
            "The model was trained on counts. Put those of adata where it reads, X or its layer."
            if trained
            else "Use likelihood='normal' for log values, or pass the counts, for instance "
            "layer='counts'."
        )
        msg = (
            f"likelihood={likelihood!r} needs counts, but {share:.1%} of the values other than 0 "
            f"are not whole numbers ({summary.n_fractional} of {summary.n_nonzero}), and "
            f"{summary.n_negative} are negative. {remedy}{fraction_hint(summary)}"
        )
        raise InputError(msg)
    if likelihood == "normal" and not trained and summary.maximum > LARGEST_LOG_VALUE:
        counts = ", or use likelihood='nb'." if summary.kind == "counts" else "."
        warnings.warn(
            f"likelihood='normal' expects values on a log scale, but the largest is "
            f"{summary.maximum:g} ({summary.kind}). Log-transform them, for instance with "
            f"scanpy.pp.log1p{counts}{fraction_hint(summary)}",
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


def log_normalize(matrix: Any) -> Any:
    """Scale counts to a common library size and take ``log(1 + x)``.

    The common size is 1e4 for single cells and 1e6 for bulk, told apart by the counts of a gene in
    the median row (under or over 20 in the mean). A matrix that is sparse stays sparse.

    Examples
    --------
    >>> log_normalize(np.array([[1.0, 3.0], [0.0, 0.0]])).round(2)
    array([[7.82, 8.92],
           [0.  , 0.  ]])
    """
    total = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    is_bulk = np.median(total) >= _BULK_COUNTS_A_GENE * matrix.shape[1]
    size = _BULK_TOTAL if is_bulk else _SINGLE_CELL_TOTAL
    factor = size / np.where(total > 0, total, 1.0)
    if sparse.issparse(matrix):
        return sparse.csr_matrix(sparse.diags(factor) @ matrix.astype(np.float64)).log1p()
    return np.log1p(np.asarray(matrix, dtype=np.float64) * factor[:, None])


def variable_genes(
    matrix: Any, domain: NDArray[np.int64], n_genes: int = 2000
) -> NDArray[np.int64]:
    """Choose up to ``n_genes`` that vary most within the cohorts, without any label.

    Averaging the variance of log values over cohorts keeps genes out that differ between the
    cohorts only.

    Examples
    --------
    >>> x = np.array([[0.0, 5.0, 1.0], [9.0, 5.0, 2.0]])
    >>> variable_genes(x, np.array([0, 0]), n_genes=2)
    array([0, 2])
    """
    if matrix.shape[1] <= n_genes:
        return np.arange(matrix.shape[1])
    variance = np.mean([_variance(matrix[domain == d]) for d in np.unique(domain)], axis=0)
    return np.sort(np.argsort(-variance, kind="stable")[:n_genes])


def _variance(matrix: Any) -> NDArray[np.float64]:
    if not sparse.issparse(matrix):
        return np.asarray(matrix, dtype=np.float64).var(axis=0)
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    return np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel() - mean**2


def prepare_values(matrix: Any, domain: NDArray[np.int64], *, counts: bool) -> NDArray[np.float64]:
    """Normalise values where they are counts, and take the most variable genes, dense."""
    values = log_normalize(matrix) if counts else matrix
    values = values[:, variable_genes(values, domain)]
    return np.asarray(values.toarray() if sparse.issparse(values) else values, dtype=np.float64)


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
