"""From a matrix as users hold it to the dense log values that classical methods take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SINGLE_CELL_TOTAL = 1e4
_BULK_TOTAL = 1e6
_BULK_COUNTS_A_GENE = 20


def log_normalize(matrix: Any) -> Any:
    """Scale counts to a common library size and take ``log(1 + x)``.

    The common size is 1e4 for single cells and 1e6 for bulk, told apart by the counts of a gene in
    the median row (under or over 20 in the mean). A matrix that is sparse stays sparse.

    Parameters
    ----------
    matrix
        Non-negative counts, ``(n_rows, n_genes)``, dense or sparse.

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
    if sp.issparse(matrix):
        return sp.csr_matrix(sp.diags(factor) @ matrix.astype(np.float64)).log1p()
    return np.log1p(np.asarray(matrix, dtype=np.float64) * factor[:, None])


def variable_genes(
    matrix: Any, domain: NDArray[np.int64], n_genes: int = 2000
) -> NDArray[np.int64]:
    """Choose the genes that vary most within the cohorts, without any label.

    Parameters
    ----------
    matrix
        Values on a log scale, ``(n_rows, n_genes)``, dense or sparse.
    domain
        Code of the cohort of each row. Averaging the variance over cohorts keeps genes out that
        differ between the cohorts only.
    n_genes
        How many to keep at most.

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
    if not sp.issparse(matrix):
        return np.asarray(matrix, dtype=np.float64).var(axis=0)
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    return np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel() - mean**2


def prepare_values(
    matrix: Any, domain: NDArray[np.int64], *, counts: bool, n_genes: int = 2000
) -> NDArray[np.float64]:
    """Bring a matrix into the dense log values that the classical methods take.

    Parameters
    ----------
    matrix
        Counts or log values, ``(n_rows, n_genes)``, dense or sparse.
    domain
        Code of the cohort of each row.
    counts
        Whether the values are counts, to be normalised by :func:`log_normalize` first.
    n_genes
        How many of the most variable genes to keep.
    """
    values = log_normalize(matrix) if counts else matrix
    values = values[:, variable_genes(values, domain, n_genes)]
    return np.asarray(values.toarray() if sp.issparse(values) else values, dtype=np.float64)
