"""Checks of arguments, arrays and the process that several subpackages share."""

from __future__ import annotations

import difflib
import inspect
import os
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from domainvi.errors import ForkedProcessError

from .errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike


# Formats of files that can be read, in words.
READABLE = "h5ad, h5mu, zarr, loom, 10x h5, a folder with matrix.mtx, csv or tsv (also gzipped)"

# What files are instead of what their names say, and the way out.
EMPTY_FILE = "is empty (0 bytes): copy it again"
NO_HDF5 = "is not HDF5, whatever its name says, or damaged: copy it again"

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are not positive whole numbers, numpy's or Python's."""
    for name, value in sizes.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            msg = f"{name}={value!r} must be a whole number of at least 1."
            raise InputError(msg)


def unknown_column(argument: str, key: object, columns: Iterable[object]) -> str:
    """Say that a column is not there, which one may be meant, and which there are."""
    names = [str(name) for name in columns]
    folded = {name.casefold(): name for name in names}
    near = [folded[name] for name in difflib.get_close_matches(str(key).casefold(), folded)]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"{argument}={key!r} is not a column of adata.obs.{hint} "
        f"Columns: {', '.join(names) or 'none'}."
    )


def check_positive(**numbers: int | None) -> None:
    """Refuse numbers that are neither ``None`` nor positive and whole."""
    check_sizes(**{name: value for name, value in numbers.items() if value is not None})


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is not among the choices."""
    if value not in choices:
        msg = f"{name}={value!r} is not known. Use one of {', '.join(choices)}."
        raise InputError(msg)


def check_keywords(
    where: str,
    given: Mapping[str, object],
    taken_by: Callable[..., object],
    known: Mapping[str, str],
) -> None:
    """Refuse keyword arguments that nobody takes, with what takes their place or the nearest name.

    ``known`` explains names that people bring from elsewhere.
    """
    from lightning.pytorch import Trainer

    names = {n for f in (taken_by, Trainer) for n in inspect.signature(f).parameters}
    for name in given:
        if name in names and name not in known:
            continue
        near = difflib.get_close_matches(name, names, n=1)
        hint = known.get(name) or (f"did you mean {near[0]}?" if near else "leave it out")
        msg = f"{where} has no argument {name}={given[name]!r}: {hint.rstrip('.')}."
        raise InputError(msg.replace("?.", "?"))


def check_seed(seed: int) -> None:
    """Refuse a seed that is not a whole number of 32 bits, as numpy takes them."""
    if not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        msg = f"seed={seed!r} must be a whole number of at least 0 and below 2**32."
        raise InputError(msg)


def check_dropout_rate(dropout_rate: float) -> None:
    """Refuse a dropout rate outside of 0 to 1."""
    if not isinstance(dropout_rate, (int, float)) or not 0 <= dropout_rate < 1:
        msg = f"dropout_rate={dropout_rate!r} must be at least 0 and below 1."
        raise InputError(msg)


def check_share(name: str, value: float | None) -> None:
    """Refuse what is neither ``None`` nor from 0 to 1."""
    if value is None or (isinstance(value, Real) and 0 <= value <= 1):
        return
    msg = f"{name}={value!r} must be a number from 0 to 1, or None."
    raise InputError(msg)


def check_pair(
    first: ArrayLike, second: ArrayLike, names: tuple[str, str]
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return two one-dimensional arrays of one length that is not zero."""
    a, b = np.asarray(first), np.asarray(second)
    if a.ndim != 1 or b.ndim != 1 or len(a) != len(b) or len(a) == 0:
        msg = (
            f"{names[0]} and {names[1]} must be one-dimensional, of one length and not empty; "
            f"got shapes {a.shape} and {b.shape}. Pass one value for each row."
        )
        raise InputError(msg)
    return a, b


def check_matrix(matrix: ArrayLike, name: str) -> FloatArray:
    """Return a finite two-dimensional array with at least one row and column."""
    out = np.asarray(matrix, dtype=np.float64)
    if out.ndim != 2 or 0 in out.shape:
        msg = f"{name} must have shape (rows, columns), both above zero; got {out.shape}."
        raise InputError(msg)
    n_bad = int((~np.isfinite(out)).sum())
    if n_bad:
        msg = f"{name} holds {n_bad} NaN or infinite values; expected none. Drop those rows first."
        raise InputError(msg)
    return out


def check_column(column: ArrayLike, name: str, n_rows: int) -> NDArray[np.generic]:
    """Return a one-dimensional array with one value for each row."""
    out = np.asarray(column)
    if out.shape != (n_rows,):
        msg = f"{name} must hold one value for each of the {n_rows} rows; got shape {out.shape}."
        raise InputError(msg)
    return out


def check_probs(truth: ArrayLike, probs: ArrayLike) -> tuple[IntArray, FloatArray]:
    """Return class codes and the probability matrix whose columns they index."""
    p = check_matrix(probs, "probs")
    total = p.sum(axis=1)
    if p.min() < -1e-6 or np.abs(total - 1).max() > 1e-3:
        msg = (
            f"probs must hold rows of probabilities; got values from {p.min():.4g} and row sums "
            f"from {total.min():.4g} to {total.max():.4g}. Apply a softmax to logits first."
        )
        raise InputError(msg)
    y = check_column(truth, "truth", len(p))
    if not np.issubdtype(y.dtype, np.integer):
        msg = f"truth must hold integer class codes; got dtype {y.dtype}."
        raise InputError(msg)
    if y.min() < 0 or y.max() >= p.shape[1]:
        msg = (
            f"truth must index the {p.shape[1]} columns of probs; got codes from {y.min()} to "
            f"{y.max()}. Leave out unlabelled rows and classes that the model does not know."
        )
        raise InputError(msg)
    return y.astype(np.int64), p


# A fork copies the memory of a process and one of its threads. The workers of torch's thread pool
# are not copied, and the first operation that is shared out among them waits for ever: in a child
# that was forked after a model had been made or used with more than one thread, and that does not
# set its own number of threads to one. These are the threads that models have used, in this process
# and in those that it was forked from.
_used, _left_behind = 1, 1


def _after_fork() -> None:
    """Note, in a forked process, that the threads which the parent used are not there."""
    global _used, _left_behind
    _used, _left_behind = 1, max(_used, _left_behind)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def refuse_dangerous_fork() -> None:
    """Stand before the first torch operation of everything that makes or uses a model."""
    import torch

    global _used
    n_threads = torch.get_num_threads()
    if n_threads > 1 and _left_behind > 1:
        msg = (
            f"This process was forked after DomainVI had worked with {_left_behind} threads, which "
            "a fork does not copy: the next operation would wait for them for ever. Start workers "
            'by multiprocessing.get_context("spawn") or get_context("forkserver") (joblib: '
            'backend="loky"), or call torch.set_num_threads(1) first in each worker.'
        )
        raise ForkedProcessError(msg)
    _used = max(_used, n_threads)
