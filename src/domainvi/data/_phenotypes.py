"""Auxiliary phenotypes to predict: categorical or numeric columns of obs, with missing values."""

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
class Phenotype:
    """A phenotype besides the main one.

    Parameters
    ----------
    key
        Column of obs.
    classes
        Class names in the order of the codes; empty for a numeric phenotype.
    """

    key: str
    classes: tuple[str, ...] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether the phenotype is a quantity."""
        return not self.classes

    @property
    def n_outputs(self) -> int:
        """Scores of a row: one a class, or the value."""
        return max(len(self.classes), 1)

    @property
    def field(self) -> str:
        """Name under which the values are registered with scvi-tools."""
        return f"phenotype_{self.key}"


def find_phenotypes(
    obs: pd.DataFrame, keys: Sequence[str], unlabeled_category: str
) -> tuple[Phenotype, ...]:
    """Read from the columns which phenotypes are quantities and which classes the others have."""
    found = []
    for key in keys:
        if is_number_column(obs[key]):
            found.append(Phenotype(key))
        else:
            names = set(obs[key].dropna().astype(str)) - {unlabeled_category}
            found.append(Phenotype(key, tuple(sorted(names))))
    return tuple(found)


def phenotype_column(
    obs: pd.DataFrame, phenotype: Phenotype, unlabeled_category: str
) -> NDArray[np.float64] | pd.Categorical:
    """Values of a phenotype: numbers with NaN, or classes with the unlabelled category last.

    A missing column is one without values, and classes that the phenotype does not have, or numbers
    that are none, count as missing.
    """
    column = obs.get(phenotype.key)
    if phenotype.is_numeric:
        if column is None:
            return np.full(len(obs), np.nan)
        return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    names = np.full(len(obs), unlabeled_category, dtype=object)
    if column is not None:
        given = column.astype(object).where(column.notna(), unlabeled_category).astype(str)
        names = np.where(given.isin(phenotype.classes), given, unlabeled_category)
    return pd.Categorical(names, categories=[*phenotype.classes, unlabeled_category])
