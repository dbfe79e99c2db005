"""Factors, the obs columns of the groups: checked, read as codes or numbers, and registered."""

from __future__ import annotations

import difflib
import logging
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS
from scvi.data.fields import LayerField, NumericalJointObsField, NumericalObsField
from torch import nn

from domainvi._compat import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY
from domainvi.data import (
    Columns,
    PreparedManager,
    check_likelihood,
    check_names,
    check_numbers,
    check_setup,
    check_spread,
    column_levels,
    describe_matrix,
    is_number_column,
    prepare,
    select_matrix,
)
from domainvi.errors import InputError
from domainvi.trust import audit_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

logger = logging.getLogger(__name__)

FACTORS_KEY = "factors"
RESIDUAL = "residual"
# Name of a label column that no user has: factors are registered beside it.
NO_LABELS = "_no_labels"
N_BINS = 4
_MAX_TABLE = 12


@dataclass(frozen=True)
class Factor:
    """One obs column of a group.

    Parameters
    ----------
    name
        Column of ``adata.obs``.
    group
        Group that it belongs to.
    levels
        Its levels in the order of their codes; empty for a number.
    centre, scale
        Mean and standard deviation of a number.
    cuts
        Quartiles of a number after standardisation, where levels are needed.
    """

    name: str
    group: str
    levels: tuple[str, ...] = ()
    centre: float = 0.0
    scale: float = 1.0
    cuts: tuple[float, ...] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether the factor is a quantity."""
        return not self.levels

    @property
    def width(self) -> int:
        """Columns that it takes as metadata: one a level, one for a number."""
        return max(len(self.levels), 1)

    @property
    def n_levels(self) -> int:
        """Levels, quarters for a number."""
        return len(self.levels) or len(self.cuts) + 1

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Factor:
        """Undo ``asdict``, also after a trip through JSON."""
        levels, cuts = map(str, values["levels"]), map(float, values["cuts"])
        return cls(**{**values, "levels": tuple(levels), "cuts": tuple(cuts)})

    def values(self, obs: pd.DataFrame, unlabeled_category: str) -> NDArray[np.float32]:
        """Read codes or standardised numbers of rows, NaN where missing or not a known level."""
        if self.name not in obs:
            return np.full(len(obs), np.nan, dtype=np.float32)
        column = obs[self.name]
        if self.is_numeric:
            number = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
            return ((number - self.centre) / self.scale).astype(np.float32)
        code = pd.Categorical(_names(column, unlabeled_category), categories=self.levels).codes
        return np.where(code < 0, np.nan, code).astype(np.float32)

    def codes(self, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """Level of each value of :meth:`values`, quarter of a number; -1 where missing."""
        known = np.isfinite(values)
        filled = np.where(known, values, 0.0)
        code = np.searchsorted(self.cuts, filled, side="right") if self.is_numeric else filled
        return np.where(known, code, -1).astype(np.int64)


def read_factors(
    obs: pd.DataFrame, factor_groups: Mapping[str, Sequence[str]], unlabeled_category: str
) -> list[Factor]:
    """Check groups of columns and describe each column, group by group."""
    _check_groups(obs, factor_groups)
    factors = [
        _factor(obs, name, group, unlabeled_category)
        for group, names in factor_groups.items()
        for name in names
    ]
    for a, b in combinations(factors, 2):
        if a.group != b.group and not (a.is_numeric or b.is_numeric):
            _check_nesting(obs, a, b, unlabeled_category)
    return factors


def factor_values(
    obs: pd.DataFrame, factors: Sequence[Factor], unlabeled_category: str
) -> NDArray[np.float32]:
    """Codes and standardised numbers of rows, ``(n_rows, n_factors)``, NaN where missing."""
    return np.stack([f.values(obs, unlabeled_category) for f in factors], axis=1)


def confounded_pairs(factors: Sequence[Factor], values: NDArray[np.floating]) -> list[list[int]]:
    """Find the pairs of factors of different groups that are not independent, and log them.

    The factor of the group named first comes first, and so does the most associated pair.
    """
    code = [f.codes(values[:, i]) for i, f in enumerate(factors)]
    found = []
    for i, j in combinations(range(len(factors)), 2):
        known = (code[i] >= 0) & (code[j] >= 0)
        levels = len(np.unique(code[j][known]))
        if factors[i].group == factors[j].group or levels < 2:
            continue
        audit = audit_arrays(code[j][known], code[i][known])
        if audit.verdict != "alignment allowed":
            found.append((-audit.cramers_v, [i, j]))
    pairs = [pair for _, pair in sorted(found)]
    for a, b in pairs:
        logger.warning(
            "%r and %r are associated: full independence would erase what they share, so "
            "their groups are made independent within the levels of one of them.",
            factors[a].name,
            factors[b].name,
        )
    return pairs


def check_rows(adata: AnnData, layer: str | None, size_factor_key: str | None) -> None:
    """Check expression values and size factors; columns of factors may be missing."""
    check_setup(
        adata,
        batch_keys=[],
        labels_key=None,
        layer=layer,
        size_factor_key=size_factor_key,
        require_domains=False,
    )


def prepare_factors(
    adata: AnnData,
    arguments: dict[str, Any],
    genes: Sequence[str] | None = None,
    source: dict[str, Any] | None = None,
) -> PreparedAnnData:
    """Gather and register matrix, size factors and factors of an object, without touching it.

    Columns of factors may be missing: their values then are. ``genes`` are those of a trained
    model, matched by name, and ``source`` is its registry.
    """
    setup = arguments[SETUP_ARGS_KEY]
    columns = Columns((), NO_LABELS, layer=setup["layer"], size_factor_key=setup["size_factor_key"])
    prepared = prepare(adata, columns, reference_genes=genes)
    factors = [Factor.from_dict(f) for f in setup["factors"]]
    values = factor_values(adata.obs, factors, setup["unlabeled_category"])
    for factor, column in zip(factors, values.T, strict=True):
        # Size factors may be called as the factor is.
        prepared.obs[f"_factor_{factor.name}"] = column
    fields = [
        LayerField(REGISTRY_KEYS.X_KEY, None, is_count_data=False),
        NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, setup["size_factor_key"], required=False),
        NumericalJointObsField(FACTORS_KEY, [f"_factor_{factor.name}" for factor in factors]),
    ]
    prepared.manager = PreparedManager(fields=fields, setup_method_args=arguments)
    prepared.manager.register_fields(prepared, source)
    return prepared


def prepare_query(
    adata: AnnData, registry: dict[str, Any], genes: Sequence[str], likelihood: str
) -> PreparedAnnData:
    """Prepare rows that a model was not set up with; they need no metadata."""
    setup = registry[SETUP_ARGS_KEY]
    check_rows(adata, setup["layer"], setup["size_factor_key"])
    check_likelihood(describe_matrix(select_matrix(adata, setup["layer"])), likelihood)
    arguments = {k: v for k, v in registry.items() if k != FIELD_REGISTRIES_KEY}
    return prepare_factors(adata, arguments, genes, registry)


def _check_groups(obs: pd.DataFrame, factor_groups: Mapping[str, Sequence[str]]) -> None:
    if len(factor_groups) < 2:
        msg = (
            f"factor_groups has {len(factor_groups)} groups; at least two are needed, for instance "
            '{"biological": ["tissue"], "technical": ["platform"]}.'
        )
        raise InputError(msg)
    home: dict[str, str] = {}
    for group, names in factor_groups.items():
        _check_group_name(group)
        if isinstance(names, str) or not len(names) or group == RESIDUAL:
            msg = (
                f"factor_groups[{group!r}]={names!r}: expected a list with at least one column "
                f"under a name other than {RESIDUAL!r}, which is the subspace of no factor."
            )
            raise InputError(msg)
        for name in names:
            if name not in obs:
                near = difflib.get_close_matches(str(name), obs.columns.astype(str), n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                msg = f"factor_groups[{group!r}]: adata.obs has no column {name!r}.{hint}"
                raise InputError(msg)
            if name in home:
                msg = (
                    f"Column {name!r} is in factor_groups[{home[name]!r}] and in "
                    f"factor_groups[{group!r}]; a factor belongs to one group. Leave it in one."
                )
                raise InputError(msg)
            home[name] = group


def _check_group_name(group: object) -> None:
    """Refuse what cannot be the name of a part of a module."""
    if not isinstance(group, str):
        msg = f"factor_groups has the group {group!r} of type {type(group).__name__}; use text."
        raise InputError(msg)
    if not group or "." in group or hasattr(nn.ModuleDict(), group):
        msg = (
            f"factor_groups has a group called {group!r}. Groups name parts of a PyTorch module, "
            "which may not be empty, hold a dot, or be called as what each module has, such as "
            "'type' or 'keys'. Rename the group."
        )
        raise InputError(msg)


def _names(column: pd.Series, unlabeled_category: str) -> NDArray[np.object_]:
    """Levels as text, ``None`` where missing."""
    text = column.astype(object).where(column.notna(), None).to_numpy()
    names = [None if v is None or str(v) == unlabeled_category else str(v) for v in text]
    return np.array(names, dtype=object)


def _factor(obs: pd.DataFrame, name: str, group: str, unlabeled_category: str) -> Factor:
    column, argument = obs[name], f"factor_groups[{group!r}]: column {name!r}"
    if is_number_column(column):
        check_numbers(column, argument, complete=False)
        check_spread(column, argument)
        number = column.to_numpy(dtype=float, na_value=np.nan)
        centre, scale = float(np.nanmean(number)), float(np.nanstd(number))
        shares = np.arange(1, N_BINS) / N_BINS
        cuts = np.unique(np.nanquantile((number - centre) / scale, shares))
        return Factor(name, group, (), centre, scale, tuple(cuts.tolist()))
    check_names(column_levels(column, argument), argument)
    names = _names(column, unlabeled_category)
    known = names[names != np.array(None)]
    levels = tuple(sorted(set(known)))
    if len(levels) < 2:
        msg = f"{argument} has {len(levels)} levels in {len(known)} rows; two are needed."
        raise InputError(msg)
    if len(levels) > len(known) / 2:
        msg = (
            f"{argument} has {len(levels)} levels in {len(known)} rows, nearly one a row. That "
            "identifies rows and describes nothing that rows share, so that a subspace could "
            "memorise it and nothing could be predicted from it. Leave it out, or merge levels."
        )
        raise InputError(msg)
    return Factor(name, group, levels)


def _check_nesting(obs: pd.DataFrame, a: Factor, b: Factor, unlabeled_category: str) -> None:
    table = pd.crosstab(
        pd.Series(_names(obs[a.name], unlabeled_category), name=a.name),
        pd.Series(_names(obs[b.name], unlabeled_category), name=b.name),
    )
    for inner, outer, counts in ((a, b, table), (b, a, table.T)):
        # Where one level of the outer factor has values at all, nothing is known of the others.
        if counts.shape[1] > 1 and ((counts > 0).sum(axis=1) == 1).all():
            shown = counts.iloc[:_MAX_TABLE, :_MAX_TABLE].to_string()
            msg = (
                f"{inner.name!r} of factor_groups[{inner.group!r}] is nested in {outer.name!r} of "
                f"factor_groups[{outer.group!r}]: each of its levels occurs in one level of "
                f"{outer.name!r} only, so that no data can tell the two groups apart.\n{shown}\n"
                "Put both into one group, or leave one of them out."
            )
            raise InputError(msg)
