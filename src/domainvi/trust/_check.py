"""Checks that the functions of this room share."""

import numpy as np
import numpy.typing as npt

from domainvi.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def check_matrix(matrix: npt.ArrayLike, name: str, min_columns: int = 1) -> FloatArray:
    """Return a finite two-dimensional float64 array with at least one row."""
    out = np.asarray(matrix, dtype=np.float64)
    if out.ndim != 2 or len(out) == 0 or out.shape[1] < min_columns:
        raise InputError(
            f"`{name}` must have shape (rows, columns) with one row and {min_columns} columns or "
            f"more; got {out.shape}."
        )
    n_bad = int((~np.isfinite(out)).sum())
    if n_bad:
        raise InputError(
            f"`{name}` holds {n_bad} NaN or infinite values; expected none. Look for rows without "
            "any counts, or for a training that diverged."
        )
    return out


def check_probs(probs: npt.ArrayLike, name: str) -> FloatArray:
    """Return rows that are not negative and sum to one."""
    out = check_matrix(probs, name, min_columns=2)
    total = out.sum(axis=1)
    if out.min() < -1e-6 or np.abs(total - 1).max() > 1e-3:
        raise InputError(
            f"`{name}` must hold rows of probabilities; got values from {out.min():.4g} and row "
            f"sums from {total.min():.4g} to {total.max():.4g}. Apply a softmax to logits first."
        )
    return np.clip(out, 0.0, None)


def check_prior(prior: npt.ArrayLike, name: str, n_classes: int) -> FloatArray:
    """Return class shares that are positive somewhere, scaled to sum to one."""
    out = np.asarray(prior, dtype=np.float64)
    if out.shape != (n_classes,) or not np.isfinite(out).all() or out.min() < 0 or out.sum() <= 0:
        raise InputError(
            f"`{name}` must hold one share, zero or more, for each of the {n_classes} classes; got "
            f"shape {out.shape}: {np.array2string(out, threshold=8)}."
        )
    return out / out.sum()


def check_label(label: npt.ArrayLike, n_rows: int, n_classes: int) -> IntArray:
    """Return class codes 0 to n_classes - 1, one for each row."""
    out = np.asarray(label)
    if out.shape != (n_rows,) or not np.issubdtype(out.dtype, np.integer):
        raise InputError(
            f"`label` must hold one integer class code for each of the {n_rows} rows; got shape "
            f"{out.shape} and dtype {out.dtype}."
        )
    if out.min() < 0 or out.max() >= n_classes:
        raise InputError(
            f"`label` must hold codes from 0 to {n_classes - 1}; got codes from {out.min()} to "
            f"{out.max()}. Leave out unlabelled rows."
        )
    return out.astype(np.int64)
