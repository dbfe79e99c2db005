"""Checks of one obs column, in messages that name the argument that chose it; and its colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domainvi._keys import UNSTORABLE
from domainvi.errors import InputError

from ._words import clean_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_N_EXAMPLES = 5
# Fewer numbers than this teach nothing that could be checked.
_MIN_NUMBERS = 10


@dataclass(frozen=True)
class Levels:
    """The values of a column that occur, with their counts, and how many are missing."""

    counts: dict[Any, int]
    n_missing: int
    unused: tuple[Any, ...]


def shorten(names: Any, quote: bool = True) -> str:
    """Join the first few names."""
    names = list(names)
    text = ", ".join(repr(name) if quote else str(name) for name in names[:_N_EXAMPLES])
    return text + (f" and {len(names) - _N_EXAMPLES} more" if len(names) > _N_EXAMPLES else "")


def is_number_column(column: pd.Series) -> bool:
    """Whether a column is numeric: a quantity, not a set of names."""
    return pd.api.types.is_any_real_numeric_dtype(column.dtype)


def is_labelled(column: pd.Series, unlabeled_category: str) -> NDArray[np.bool_]:
    """Rows with a label: neither missing nor of the category of rows without one.

    Examples
    --------
    >>> is_labelled(pd.Series(["a", None, "Unknown"]), "Unknown").tolist()
    [True, False, False]
    """
    column = clean_names(column)
    return (column.notna() & (column.astype(object).astype(str) != unlabeled_category)).to_numpy()


def column_levels(column: pd.Series, argument: str) -> Levels:
    """Count the values of a column; refuse values that cannot be compared or are no valid text."""
    try:
        values = column.astype("category").cat
    except TypeError as error:
        msg = (
            f"{argument}: the column holds values that are not names ({error}). Convert it with "
            ".map(str, na_action='ignore').astype('category')."
        )
        raise InputError(msg) from error
    except UnicodeEncodeError as error:  # where strings are arrow's
        _check_storable(column.unique(), argument)
        msg = f"{argument}: the column holds names that cannot be encoded ({error})."
        raise InputError(msg) from error
    codes = values.codes.to_numpy()
    tally = np.bincount(codes[codes >= 0], minlength=len(values.categories)).tolist()
    pairs = list(zip(values.categories.tolist(), tally, strict=True))
    return Levels(
        counts={level: count for level, count in pairs if count},
        n_missing=int((codes < 0).sum()),
        unused=tuple(level for level, count in pairs if not count),
    )


def check_names(levels: Levels, argument: str) -> None:
    """Refuse names that h5ad cannot hold or that mix types."""
    kinds = {_kind(level) for level in levels.counts}
    if "bytes" in kinds:
        msg = (
            f"{argument} holds bytes, for instance {shorten(levels.counts)}, expected text. Decode "
            "it: column.map(lambda x: x.decode() if isinstance(x, bytes) else x)"
            ".astype('category')."
        )
        raise InputError(msg)
    if len(kinds) > 1 or not kinds <= {"str", "int", "bool"}:
        msg = (
            f"{argument} holds values of type {', '.join(sorted(kinds))}, for instance "
            f"{shorten(levels.counts)}; expected text. Convert it with "
            ".map(str, na_action='ignore').astype('category')."
        )
        raise InputError(msg)
    _check_storable(levels.counts, argument)


def _check_storable(names: Iterable[object], argument: str) -> None:
    broken = [name for name in names if isinstance(name, str) and UNSTORABLE.search(name)]
    if broken:
        msg = (
            f"{argument} holds names with a NUL or surrogate character, which h5ad cannot "
            f"store: {shorten(map(ascii, broken), quote=False)}. Rename them."
        )
        raise InputError(msg)


def check_domains(column: pd.Series, argument: str, *, several: bool) -> Levels:
    """Check a column that names a cohort or another nuisance: complete, not fractional numbers.

    With ``several``, it needs two levels.
    """
    levels = column_levels(clean_names(column, missing=False), argument)
    if pd.api.types.is_float_dtype(_value_dtype(column)):
        msg = (
            f"{argument} is a floating point column with {len(levels.counts)} different values; "
            "expected names. If the numbers are codes, convert it with "
            ".astype(int).astype(str).astype('category')."
        )
        raise InputError(msg)
    if levels.n_missing:
        msg = (
            f"{argument} has {levels.n_missing} missing values in {len(column)} rows; every row "
            "needs one. Fill them, or drop these rows."
        )
        raise InputError(msg)
    check_names(levels, argument)
    if several and len(levels.counts) < 2:
        msg = (
            f"{argument} has one level, {shorten(levels.counts)}, in all {len(column)} rows; of "
            "several batch keys each needs two. Leave it out."
        )
        raise InputError(msg)
    return levels


def check_labels(column: pd.Series, argument: str, key: str) -> Levels:
    """Check that a column of labels holds names."""
    levels = column_levels(clean_names(column), argument)
    kinds = {_kind(level) for level in levels.counts}
    if kinds and kinds <= {"int", "bool", "float"}:
        dtype = _value_dtype(column)
        plain = "map(str, na_action='ignore')"
        if dtype.kind in "iu" and not levels.n_missing:
            plain = "astype(str)"
        elif "bool" not in kinds and not any(float(level) % 1 for level in levels.counts):
            plain = "astype('Int64').astype('string')"  # 1, as where none is missing, and not 1.0
        msg = (
            f"{argument} holds numbers ({dtype}, {len(levels.counts)} different values), expected "
            f"names. Numbers are no classes; if the numbers code classes, "
            f"convert with adata.obs[{key!r}] = adata.obs[{key!r}].{plain}.astype('category')."
        )
        raise InputError(msg)
    check_names(levels, argument)
    return levels


def single_classes(column: pd.Series, unlabeled_category: str) -> list[str]:
    """Classes with one labelled row, which cannot teach: names in alphabetical order.

    Examples
    --------
    >>> single_classes(pd.Series(["a", "a", "b", None, "Unknown"]), "Unknown")
    ['b']
    """
    labels = column[is_labelled(column, unlabeled_category)].astype(object).astype(str)
    count = labels.value_counts()
    return sorted(count.index[count == 1])


def check_classes(levels: Levels, argument: str, unlabeled_category: str) -> None:
    """Check that the labelled rows can teach a classifier: two classes of two rows or more."""
    classes = {k: n for k, n in levels.counts.items() if k != unlabeled_category}
    n_rows = sum(levels.counts.values()) + levels.n_missing
    if not classes:
        msg = (
            f"{argument} labels none of the {n_rows} rows: all are missing or equal to "
            f"unlabeled_category={unlabeled_category!r}. Label some rows of one domain."
        )
        raise InputError(msg)
    single = [name for name, count in classes.items() if count == 1]
    if single and len(classes) - len(single) < 2:
        msg = (
            f"{argument}: {len(single)} of {len(classes)} classes have one labelled row: "
            f"{shorten(single)}. At least two classes need two or more: label more rows, or "
            f"merge classes.{_numbers_as_text(classes)}"
        )
        raise InputError(msg)
    if len(classes) == 1:
        msg = (
            f"{argument} has one class, {shorten(classes)}, besides "
            f"unlabeled_category={unlabeled_category!r}; at least two are needed to tell apart."
        )
        raise InputError(msg)


def check_numbers(
    column: pd.Series, argument: str, *, complete: bool = True, positive: bool = False
) -> None:
    """Check a numeric column."""
    if not is_number_column(column):
        msg = f"{argument} has type {column.dtype}; expected numbers. Use pandas.to_numeric first."
        raise InputError(msg)
    values = column.to_numpy(dtype=float, na_value=np.nan)
    n_missing, n_infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    if n_infinite or (complete and n_missing):
        msg = (
            f"{argument} has {n_missing} missing and {n_infinite} infinite values in "
            f"{len(values)} rows; expected {'finite numbers' if complete else 'no infinite ones'}. "
            "Fill them, or drop these rows."
        )
        raise InputError(msg)
    if positive and (values <= 0).any():
        msg = (
            f"{argument} has {int((values <= 0).sum())} values at or below 0 (smallest "
            f"{values.min():g}); size factors must be positive."
        )
        raise InputError(msg)


def check_spread(column: pd.Series, argument: str) -> None:
    """Check that a numeric phenotype has something to learn."""
    n_values, n_rows = column.nunique(), int(column.notna().sum())
    if n_values >= 2 and n_rows < _MIN_NUMBERS:
        msg = (
            f"{argument} has numbers in {n_rows} rows; at least {_MIN_NUMBERS} are needed to learn "
            "from. Leave the target out, or add annotated rows."
        )
        raise InputError(msg)
    if n_values < 2:
        msg = (
            f"{argument} has {n_values} different values in {n_rows} rows that are not missing; at "
            "least two are needed."
        )
        raise InputError(msg)


def _value_dtype(column: pd.Series) -> Any:
    dtype = column.dtype
    return dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype


def _kind(level: Any) -> str:
    level = level.item() if isinstance(level, np.generic) else level
    names = (kind.__name__ for kind in (str, bool, int, float) if isinstance(level, kind))
    return next(names, type(level).__name__)


def _numbers_as_text(classes: dict[Any, int]) -> str:
    if pd.to_numeric(pd.Series(list(classes)), errors="coerce").isna().any():
        return ""
    return " All class names read as numbers: convert a numeric column with pandas.to_numeric."


def color_list(stored: Any, names: Sequence[str]) -> list[str]:
    """Read one colour for each name, as text; none if what is stored is not that.

    Examples
    --------
    >>> color_list({"b": "red", "a": (0, 0, 1)}, ["a", "b"])
    ['#0000ff', 'red']
    >>> color_list("tab10", ["a", "b"])
    []
    """
    if isinstance(stored, Mapping):
        stored = [stored.get(name) for name in names]
    if not isinstance(stored, list | tuple | np.ndarray) or np.ndim(np.asarray(stored, object)) < 1:
        return []
    colors = [_as_text(color) for color in stored]
    return [] if None in colors or len(colors) < len(names) else [c for c in colors if c]


def _as_text(color: Any) -> str | None:
    """Write a colour as matplotlib names it; ``None`` if it is no colour."""
    from matplotlib.colors import is_color_like, to_hex

    color = color.decode(errors="replace") if isinstance(color, bytes) else color
    if isinstance(color, np.ndarray):
        color = tuple(color.tolist())
    if not is_color_like(color):
        return None
    if isinstance(color, str):
        return str(color)
    return str(to_hex(color, keep_alpha=len(color) == 4 and color[3] < 1))
