"""Labels of several depths: the tree that they form, which rows allow which classes, and sums."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domainvi._checks import unknown_column
from domainvi._keys import LABEL_TREE
from domainvi.errors import InputError

from ._columns import check_labels, shorten
from ._words import clean_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

# Fewer rows of a class than this share may stand under another parent, as slips of annotators.
MAX_ASTRAY = 0.05


@dataclass(frozen=True)
class LabelTree:
    """The classes of a phenotype, and what each belongs to at coarser levels.

    A class is what a row can be at the finest level: the end of a branch, which may be a short one.
    Below its own level such a class keeps its name.

    Parameters
    ----------
    levels
        Names of the levels, from coarse to fine: columns of ``obs``, of which the last is the
        phenotype's own.
    paths
        Names at each level, by class.
    in_one_column
        Whether the last column holds names of every level, and the others do not exist.

    Examples
    --------
    >>> tree = dv.data.LabelTree(("lineage", "type"), {"CD4": ("T", "CD4"), "B": ("B", "B")})
    >>> tree.names(0, ["CD4", "B"])
    ['T', 'B']
    """

    levels: tuple[str, ...]
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    in_one_column: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON holds."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LabelTree:
        """Undo :meth:`to_dict`."""
        paths = {str(c): tuple(map(str, path)) for c, path in values["paths"].items()}
        return cls(tuple(values["levels"]), paths, bool(values["in_one_column"]))

    @classmethod
    def of_setup(cls, setup_args: Mapping[str, Any]) -> LabelTree | None:
        """Read the tree from the arguments of a setup; ``None`` where labels have one level."""
        tree = setup_args.get(LABEL_TREE)
        return None if tree is None else cls.from_dict(tree)

    def table(self, obs: pd.DataFrame, unlabeled_category: str) -> pd.DataFrame:
        """Names of each row at each level, ``None`` from where its label ends.

        Columns that are missing are taken to hold nothing.
        """
        if not self.in_one_column:
            return _columns(obs, self.levels, unlabeled_category)
        pairs = [pair for path in self.paths.values() for pair in pairwise(path)]
        parents = {b: a for a, b in pairs if a != b}
        return _spread(obs, self.levels, parents, unlabeled_category)

    def classes_of(self, obs: pd.DataFrame, unlabeled_category: str) -> pd.Series:
        """Class of each row, ``None`` where its label is missing or stops above a class."""
        table = self.table(obs, unlabeled_category)
        out = table.iloc[:, -1].copy()
        for number, level in reversed(list(enumerate(self.levels[:-1]))):
            below: dict[str, set[str]] = {}
            for c, path in self.paths.items():
                below.setdefault(path[number], set()).add(c)
            ends = [name for name, classes in below.items() if classes == {name}]
            finer_is_missing = table[list(self.levels[number + 1 :])].isna().all(axis=1)
            out = out.where(~(finer_is_missing & table[level].isin(ends)), table[level])
        return _with_none(out.to_frame()).iloc[:, 0]

    def possible(
        self, obs: pd.DataFrame, classes: Sequence[str], unlabeled_category: str
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
        """Classes that coarse labels leave open.

        Returns
        -------
        Number of a set of classes for each row, shape ``(n_rows,)``, and these sets as masks, shape
        ``(n_sets, n_classes)``. Set 0 has all of them: for rows of which nothing is known, of which
        the class itself is known, or whose names have none of these classes. ``None`` if that is
        so for every row.
        """
        table = self.table(obs, unlabeled_category)
        is_coarse = self.classes_of(obs, unlabeled_category).isna().to_numpy()
        names = table[list(self.levels[:-1])].to_numpy(dtype=object)
        found, code = [np.ones(len(classes), dtype=bool)], np.zeros(len(obs), dtype=np.int64)
        seen: dict[tuple[str | None, ...], int] = {}
        for row in np.flatnonzero(is_coarse):
            if (given := tuple(names[row])) not in seen:
                mask = found[0].copy()
                for k, name in enumerate(given):
                    mask &= [name in (None, self.paths[c][k]) for c in classes]
                seen[given] = len(found) if mask.any() and not mask.all() else 0
                found += [mask] if seen[given] else []
            code[row] = seen[given]
        return (code, np.stack(found)) if len(found) > 1 else None

    def names(self, level: int, classes: Sequence[str]) -> list[str]:
        """Names at a level, in the order of the classes."""
        return list(dict.fromkeys(self.paths[c][level] for c in classes))

    def membership(self, level: int, classes: Sequence[str]) -> NDArray[np.float64]:
        """Which class belongs to which name of a level, shape ``(n_classes, n_names)``."""
        names = self.names(level, classes)
        own = [names.index(self.paths[c][level]) for c in classes]
        return np.eye(len(names))[own]

    def path(
        self, p: NDArray[np.floating], classes: Sequence[str]
    ) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
        """Likeliest name at the coarsest level, then at each finer one the likeliest inside it.

        Parameters
        ----------
        p
            Probabilities of the classes, shape ``(n_rows, n_classes)``.
        classes
            Their names.

        Returns
        -------
        Names and their probabilities, both of shape ``(n_rows, n_levels)``: that of a name is the
        sum over its classes, so none is above that of the level before.

        Examples
        --------
        >>> from domainvi.data import LabelTree
        >>> tree = LabelTree(
        ...     ("lineage", "type"), {"CD4": ("T", "CD4"), "CD8": ("T", "CD8"), "B": ("B", "B")}
        ... )
        >>> names, p = tree.path(np.array([[0.3, 0.3, 0.4]]), ["CD4", "CD8", "B"])
        >>> names.tolist(), p.round(1).tolist()
        ([['T', 'CD4']], [[0.6, 0.3]])
        """
        rows, inside = np.arange(len(p)), np.ones(p.shape, dtype=bool)
        names, sums = [], []
        for level in range(len(self.levels)):
            of = self.membership(level, classes)
            total = np.where(inside, p, 0) @ of
            total[~(inside @ of > 0)] = -1.0
            best = total.argmax(axis=1)
            names.append(np.array(self.names(level, classes), dtype=object)[best])
            sums.append(total[rows, best])
            inside &= of[:, best].T > 0
        return np.stack(names, axis=1), np.stack(sums, axis=1)

    def named(
        self, p: NDArray[np.floating], classes: Sequence[str], level_confidence: float | None
    ) -> tuple[NDArray[np.object_], NDArray[np.float64], NDArray[np.int64]]:
        """Name each row at the finest level whose probability is at least ``level_confidence``.

        A row that is surer of nothing gets its name at the coarsest level, or at a finer one that
        is as likely, as that of an only child is; with ``None`` every row is named at the finest.

        Returns
        -------
        Names, their probabilities, and the numbers of their levels, each of shape ``(n_rows,)``.
        """
        names, sums = self.path(p, classes)
        least = np.minimum(level_confidence or 0.0, sums[:, :1])
        # Sums over the same classes may differ in their last digits.
        level = (sums >= least * (1 - 1e-9)).sum(axis=1) - 1
        rows = np.arange(len(p))
        return names[rows, level], sums[rows, level], level


def find_tree(
    obs: pd.DataFrame,
    labels_key: Sequence[str],
    label_tree: Mapping[str, str] | pd.DataFrame | None,
    unlabeled_category: str,
) -> LabelTree:
    """Find the tree that columns from coarse to fine, or names with their parents, describe.

    Parameters
    ----------
    obs
        Table with the columns.
    labels_key
        Columns from coarse to fine; a single one with ``label_tree``.
    label_tree
        Parent of each name, as a dict or as a frame of two columns, child and parent. A parent that
        is empty, missing or the name itself is none.
    unlabeled_category
        Rows with this value, or a missing one, have no name at the level.

    Raises
    ------
    InputError
        If a name has several parents, or parents form a circle.
    """
    if label_tree is None:
        levels = tuple(labels_key)
        for key in levels:
            check_labels(obs[key], f"labels_key={key!r}", key)
        table = _columns(obs, levels, unlabeled_category)
    else:
        key, parents = labels_key[-1], _parents(label_tree, unlabeled_category)
        levels = _level_names(obs, key, parents, unlabeled_category)
        table = _spread(obs, levels, parents, unlabeled_category)
    parent = _parents_by_level(_without_gaps(table))
    paths: dict[str, tuple[str, ...]] = {}
    for number in range(len(levels)):
        for name in table.iloc[:, number].dropna().unique():
            is_end = number == len(levels) - 1 or name not in parent[number + 1].values()
            if is_end:
                path = _path_to(name, number, parent, len(levels))
                if paths.setdefault(name, path) != path:
                    msg = (
                        f"{name!r} is a class under {paths[name][0]!r} and under {path[0]!r}. Give "
                        "the one another name."
                    )
                    raise InputError(msg)
    return LabelTree(levels, paths, label_tree is not None)


def label_levels(
    adata: AnnData,
    labels_key: str | Sequence[str],
    label_tree: Mapping[str, str] | pd.DataFrame | None,
    unlabeled_category: str,
) -> tuple[Any, LabelTree | None]:
    """Return the phenotype's own column, and the tree of its labels; ``None`` if they have none."""
    keys = [labels_key] if isinstance(labels_key, str) else labels_key
    if not isinstance(keys, list | tuple) or (len(keys) < 2 and label_tree is None):
        return (keys[0] if isinstance(keys, list | tuple) and len(keys) == 1 else labels_key), None
    if label_tree is not None and len(keys) > 1:
        msg = f"labels_key={list(keys)} is a tree: leave label_tree out, or name one column."
        raise InputError(msg)
    obs = adata.obs
    for key in keys:
        if key not in obs:
            raise InputError(unknown_column("labels_key", key, obs.columns))
    if len(set(keys)) < len(keys):
        msg = f"labels_key names a column twice: {', '.join(keys)}. Name each level once."
        raise InputError(msg)
    return keys[-1], find_tree(obs, keys, label_tree, unlabeled_category)


def _columns(obs: pd.DataFrame, levels: Sequence[str], unlabeled_category: str) -> pd.DataFrame:
    """Read the names of the rows from columns from coarse to fine."""
    out = pd.DataFrame(index=pd.RangeIndex(len(obs)), columns=list(levels), dtype=object)
    for key in levels:
        if key in obs:
            names = clean_names(obs[key]).astype(object)
            names = names.where(names.notna() & (names != unlabeled_category), None)
            out[key] = names.map(str, na_action="ignore").to_numpy(dtype=object)
    return _with_none(out)


def _with_none(table: pd.DataFrame) -> pd.DataFrame:
    """Let missing names be ``None`` in every series of pandas."""
    values = np.where(table.isna(), None, table.to_numpy(dtype=object))
    return pd.DataFrame(values, index=table.index, columns=table.columns, dtype=object)


def _spread(
    obs: pd.DataFrame, levels: Sequence[str], parents: Mapping[str, str], unlabeled_category: str
) -> pd.DataFrame:
    """Spread names of every level over the levels, by their parents."""
    out = pd.DataFrame(index=pd.RangeIndex(len(obs)), columns=list(levels), dtype=object)
    given = _columns(obs, levels[-1:], unlabeled_category)[levels[-1]]
    for name in given.dropna().unique():
        own = (given == name).to_numpy()
        for level, step in zip(levels, _upwards(name, parents)[::-1], strict=False):
            out.loc[own, level] = step
    return _with_none(out)


def _upwards(name: str, parents: Mapping[str, str]) -> list[str]:
    """Name, parent, parent of the parent and so on."""
    path = [name]
    while path[-1] in parents:
        if parents[path[-1]] in path:
            msg = f"label_tree goes round in a circle: {' < '.join([*path, parents[path[-1]]])}."
            raise InputError(msg)
        path.append(parents[path[-1]])
    return path


def _parents(label_tree: Mapping[str, str] | pd.DataFrame, unlabeled: str) -> dict[str, str]:
    """Parents by child, from a dict or from a frame of two columns, read as names of rows are."""
    columns = ["child", "parent"]
    if isinstance(label_tree, Mapping):
        label_tree = pd.DataFrame(list(label_tree.items()), columns=columns)
    if not isinstance(label_tree, pd.DataFrame) or label_tree.shape[1] != 2:
        kind = type(label_tree).__name__
        msg = f"label_tree is a {kind}; expected a dict of parents, or a frame of child and parent."
        raise InputError(msg)
    parents: dict[str, str] = {}
    pairs = _columns(label_tree.set_axis(columns, axis=1), columns, unlabeled).dropna()
    # Roots may be written out as their own parents.
    for child, parent in pairs[pairs["child"] != pairs["parent"]].itertuples(index=False):
        known = parents.setdefault(child, parent)
        if known != parent:
            msg = f"label_tree gives {child!r} two parents, {known!r} and {parent!r}. Keep one."
            raise InputError(msg)
    return parents


def _level_names(
    obs: pd.DataFrame, key: str, parents: Mapping[str, str], unlabeled_category: str
) -> tuple[str, ...]:
    """Name as many levels as the longest branch has; check that the tree is about the column."""
    names = _columns(obs, [key], unlabeled_category)[key].dropna().unique().tolist()
    depth = max((len(_upwards(name, parents)) for name in names), default=0)
    if depth < 2:
        msg = (
            f"label_tree has a parent for none of the {len(names)} names in obs[{key!r}], "
            f"{shorten(sorted(names))}; it has {shorten(sorted(parents))}. Use the names of obs."
        )
        raise InputError(msg)
    if alone := sorted(n for n in names if n not in parents and n not in parents.values()):
        warnings.warn(
            f"label_tree does not have {len(alone)} of {len(names)} names in obs[{key!r}], "
            f"{shorten(alone)}; each stands by itself.",
            UserWarning,
            stacklevel=2,
        )
    return (*(f"{key}_level_{i}" for i in range(1, depth)), key)


def _without_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Let names that have no name above them in any row stand there as well."""
    table = table.copy()
    for above, level in zip(table.columns[-2::-1], table.columns[:0:-1], strict=True):
        has_parent = table.loc[table[above].notna(), level].unique()
        gap = table[level].notna() & ~table[level].isin(has_parent)
        table.loc[gap, above] = table.loc[gap, level]
    return table


def _parents_by_level(table: pd.DataFrame) -> list[dict[str, str]]:
    """Parent of each name at each level: the one that nearly all of its rows have."""
    parents: list[dict[str, str]] = [{}]
    for above, level in zip(table.columns[:-1], table.columns[1:], strict=True):
        own: dict[str, str] = {}
        both = table[[above, level]].dropna()
        for name, given in both.groupby(level, observed=True)[above]:
            count = given.value_counts()
            astray = int(count.iloc[1:].sum())
            if astray > MAX_ASTRAY * len(given):
                msg = (
                    f"{level} {name!r} stands under {len(count)} names of {above}: "
                    f"{', '.join(f'{n!r} ({k} rows)' for n, k in count.items())}. Name it apart in "
                    f"each, or mend the rows of obs[{above!r}]."
                )
                raise InputError(msg)
            if astray:
                warnings.warn(
                    f"{astray} of {len(given)} rows of {level} {name!r} stand under another name "
                    f"of {above} than {count.index[0]!r}, and count as that.",
                    UserWarning,
                    stacklevel=2,
                )
            own[str(name)] = str(count.index[0])
        parents.append(own)
    return parents


def _path_to(
    name: str, number: int, parents: Sequence[Mapping[str, str]], n_levels: int
) -> tuple[str, ...]:
    """Names from the coarsest level to a name, which keeps it at the levels below."""
    path = [name]
    for own in parents[number:0:-1]:
        path.append(own.get(path[-1], path[-1]))
    return (*path[::-1], *[name] * (n_levels - number - 1))
