"""Further phenotypes to predict: categorical or numeric columns of obs, with missing values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ._columns import is_number_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Target:
    """A phenotype besides the main one.

    Parameters
    ----------
    key
        Column of obs.
    classes
        Class names in the order of the codes; empty for a numeric target.
    """

    key: str
    classes: tuple[str, ...] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether the target is a quantity."""
        return not self.classes

    @property
    def n_outputs(self) -> int:
        """Scores of a row: one a class, or the value."""
        return max(len(self.classes), 1)

    @property
    def field(self) -> str:
        """Name under which the values are registered with scvi-tools."""
        return f"target_{self.key}"


def find_targets(
    obs: pd.DataFrame, keys: Sequence[str], unlabeled_category: str
) -> tuple[Target, ...]:
    """Read from the columns which targets are quantities and which classes the others have."""
    found = []
    for key in keys:
        if is_number_column(obs[key]):
            found.append(Target(key))
        else:
            names = set(obs[key].dropna().astype(str)) - {unlabeled_category}
            found.append(Target(key, tuple(sorted(names))))
    return tuple(found)


def target_column(
    obs: pd.DataFrame, target: Target, unlabeled_category: str
) -> NDArray[np.float64] | pd.Categorical:
    """Values of a target: numbers with NaN, or classes with the unlabelled category last.

    A missing column is one without values, and classes that the target does not have, or numbers
    that are none, count as missing.
    """
    column = obs.get(target.key)
    if target.is_numeric:
        if column is None:
            return np.full(len(obs), np.nan)
        return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    names = np.full(len(obs), unlabeled_category, dtype=object)
    if column is not None:
        given = column.astype(object).where(column.notna(), unlabeled_category).astype(str)
        names = np.where(given.isin(target.classes), given, unlabeled_category)
    return pd.Categorical(names, categories=[*target.classes, unlabeled_category])
