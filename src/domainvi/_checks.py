"""Checks that the metrics share: equal lengths, finite values, rows that sum to one."""

import numpy as np
import numpy.typing as npt

from domainvi.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def check_pair(
    first: npt.ArrayLike, second: npt.ArrayLike, names: tuple[str, str]
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    """Return two one-dimensional arrays of one length that is not zero."""
    a, b = np.asarray(first), np.asarray(second)
    if a.ndim != 1 or b.ndim != 1 or len(a) != len(b) or len(a) == 0:
        raise InputError(
            f"`{names[0]}` and `{names[1]}` must be one-dimensional, of one length and not empty; "
            f"got shapes {a.shape} and {b.shape}. Pass one value for each row."
        )
    return a, b


def check_matrix(matrix: npt.ArrayLike, name: str) -> FloatArray:
    """Return a finite two-dimensional array with at least one row and column."""
    out = np.asarray(matrix, dtype=np.float64)
    if out.ndim != 2 or 0 in out.shape:
        raise InputError(
            f"`{name}` must have shape (rows, columns), both above zero; got {out.shape}."
        )
    n_bad = int((~np.isfinite(out)).sum())
    if n_bad:
        raise InputError(
            f"`{name}` holds {n_bad} NaN or infinite values; expected none. Drop those rows first."
        )
    return out


def check_probs(truth: npt.ArrayLike, probs: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    """Return class codes and the probability matrix whose columns they index."""
    p = check_matrix(probs, "probs")
    total = p.sum(axis=1)
    if p.min() < -1e-6 or np.abs(total - 1).max() > 1e-3:
        raise InputError(
            f"`probs` must hold rows of probabilities; got values from {p.min():.4g} and row sums "
            f"from {total.min():.4g} to {total.max():.4g}. Apply a softmax to logits first."
        )
    y = np.asarray(truth)
    if y.shape != (len(p),) or not np.issubdtype(y.dtype, np.integer):
        raise InputError(
            f"`truth` must hold one integer class code for each of the {len(p)} rows of `probs`; "
            f"got shape {y.shape} and dtype {y.dtype}."
        )
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise InputError(
            f"`truth` must index the {p.shape[1]} columns of `probs`; got codes from {y.min()} to "
            f"{y.max()}. Leave out unlabelled rows and classes that the model does not know."
        )
    return y.astype(np.int64), p
