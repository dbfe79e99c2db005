"""Judge the values of a matrix: usable at all, and by which likelihood."""

import warnings
from typing import Literal

from anndata import AnnData

from domainvi.errors import InputError

from ._matrix import MatrixSummary, describe_matrix, locate_nonfinite, select_matrix

Likelihood = Literal["nb", "zinb", "poisson", "normal"]

COUNT_LIKELIHOODS = ("nb", "zinb", "poisson")
LIKELIHOODS = ("auto", *COUNT_LIKELIHOODS, "normal")

# log2 of the largest intensity or count in use stays well below this.
LARGEST_LOG_VALUE = 50


def check_values(adata: AnnData, layer: str | None) -> None:
    """Check the values themselves.

    Raises
    ------
    InputError
        If the layer is missing, a value is not finite or beyond 1e12, or whole numbers are
        negative.
    """
    matrix = select_matrix(adata, layer)
    where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    try:
        summary = describe_matrix(matrix)
    except InputError as error:
        msg = f"{where}: {error}"
        raise InputError(msg) from error
    if summary.n_nonfinite:
        places = "; ".join(
            f"row {adata.obs_names[row]!r}, gene {adata.var_names[gene]!r}"
            for row, gene in locate_nonfinite(matrix)
        )
        msg = (
            f"{where} has {summary.n_nonfinite} values that are NaN, infinite or beyond 1e12, too "
            f"large for sums in single precision, the first at {places}. Fill them, or drop these "
            "rows or genes."
        )
        raise InputError(msg)
    if summary.n_negative and not summary.n_fractional:
        msg = (
            f"{where} holds whole numbers, {summary.n_negative} of them negative: counts cannot "
            "be. Replace codes such as -1 for missing values; scale other values first."
        )
        raise InputError(msg)


def check_likelihood(summary: MatrixSummary, likelihood: str) -> Likelihood:
    """Compare the promised likelihood with the values, and resolve `"auto"`.

    Parameters
    ----------
    summary
        What `describe_matrix` found.
    likelihood
        `"auto"`, `"nb"`, `"zinb"`, `"poisson"` or `"normal"`.

    Returns
    -------
    The likelihood to use. `"auto"` is `"nb"` for counts and `"normal"` for other values.

    Raises
    ------
    InputError
        If the likelihood is unknown, or one for counts meets values that are not counts.

    Warns
    -----
    UserWarning
        If a normal likelihood meets values too large to be logarithms.

    Examples
    --------
    >>> import numpy as np
    >>> from domainvi.data import check_likelihood, describe_matrix
    >>> check_likelihood(describe_matrix(np.array([[0, 3], [2, 0]])), "auto")
    'nb'
    """
    if likelihood not in LIKELIHOODS:
        msg = f"likelihood={likelihood!r} is unknown; expected one of {', '.join(LIKELIHOODS)}."
        raise InputError(msg)
    if likelihood == "auto":
        likelihood = "nb" if summary.kind == "counts" else "normal"
    if likelihood in COUNT_LIKELIHOODS and summary.kind != "counts":
        raise InputError(_not_counts(summary, likelihood))
    if likelihood == "normal" and summary.maximum > LARGEST_LOG_VALUE:
        warnings.warn(
            f"likelihood='normal' expects values on a log scale, but the largest is "
            f"{summary.maximum:g} ({summary.kind}). Log-transform them, for instance with "
            "scanpy.pp.log1p" + _counts_remedy(summary),
            UserWarning,
            stacklevel=3,
        )
    return likelihood  # type: ignore[return-value]


def _not_counts(summary: MatrixSummary, likelihood: str) -> str:
    return (
        f"likelihood={likelihood!r} needs counts, but {summary.fractional_share:.1%} of the values "
        f"other than 0 are not whole numbers ({summary.n_fractional} of {summary.n_nonzero}), and "
        f"{summary.n_negative} are negative. Use likelihood='normal' for log values, or pass the "
        "counts, for instance layer='counts'."
    )


def _counts_remedy(summary: MatrixSummary) -> str:
    return ", or use likelihood='nb'." if summary.kind == "counts" else "."
