"""The object that a model works on: the needed parts of the user's AnnData, in a known form.

The user's object is read and never written. What scvi-tools registers (integer codes, identifiers)
goes to this private object, which shares the expression matrix where its format allows.
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from scvi import REGISTRY_KEYS

from domainvi.errors import InputError

from ._columns import is_number_column
from ._disk import DiskMatrix, stays_on_disk
from ._gene_names import gene_forms, match_genes
from ._matrix import in_memory, select_matrix
from ._words import bare_name, clean_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scvi.data import AnnDataManager

    from ._genes import GeneAlignment
    from ._label_tree import LabelTree

logger = logging.getLogger(__name__)

UNSEEN_DOMAIN = "unseen"
# The column of domains of data that are set up without one, and its only level.
ONE_DOMAIN, EVERY_ROW = "_one_domain", "all rows"
# Which modalities a row has: an obsm array of flat and prepared objects, and its registry key.
MODALITIES = "modalities"
SEPARATOR = ":"


@dataclass(frozen=True)
class Columns:
    """The names that ``setup_anndata`` was given."""

    batch_keys: tuple[str, ...]
    labels_key: str
    unlabeled_category: str = "Unknown"
    layer: str | None = None
    size_factor_key: str | None = None
    categorical_covariate_keys: tuple[str, ...] = ()
    continuous_covariate_keys: tuple[str, ...] = ()
    target_keys: tuple[str, ...] = ()
    tree: LabelTree | None = None

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns that the decoder needs as they are."""
        size_factor = (self.size_factor_key,) if self.size_factor_key else ()
        return (*self.categorical_covariate_keys, *self.continuous_covariate_keys, *size_factor)


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


class FlatAnnData(AnnData):
    """Several modalities side by side, ``obsm["modalities"]`` says which of them a row has."""

    gene_mask: NDArray[np.bool_]


class ScalingNote(NamedTuple):
    """How a cohort that was not in training is standardised.

    Parameters
    ----------
    said
        In words.
    row_wise_share
        Share of experts of single rows in the vote on its composition; 0 where none was needed.
    """

    said: str
    row_wise_share: float = 0.0


class PreparedAnnData(AnnData):
    """Working copy of an AnnData object; made by :func:`prepare` only."""

    gene_mask: NDArray[np.bool_]
    manager: AnnDataManager
    # Rows whose labels training must not read, if any.
    hidden: NDArray[np.bool_] | None = None
    # The expression values, where they stay in their file.
    on_disk: DiskMatrix | None = None
    # How each cohort that was not in training is standardised.
    scaling_notes: dict[str, ScalingNote]
    # Classes that coarse labels leave open, as `LabelTree.possible` returns them.
    possible: tuple[NDArray[np.int64], NDArray[np.bool_]] | None = None
    # Of the values at the time; a matrix in memory is shared with the user's object.
    checksum: int

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Row numbers in the order of the row names, which does not change with that of the rows.

        What is drawn or summed in training goes by it, so that shuffled rows give the same model.
        Shorter names come first: numbered rows stand as they are numbered.
        """
        names = self.obs_names.to_numpy(dtype=str)
        return np.lexsort((names, np.char.str_len(names)))

    @property
    def coarse(self) -> NDArray[np.bool_] | None:
        """Rows that are named at a coarser level alone; ``None`` where there are none."""
        if self.possible is None:
            return None
        named = self.possible[0] > 0
        return named if self.hidden is None else named & ~self.hidden

    def codes(self, key: str) -> NDArray[np.int64]:
        """Integer codes of a registered column, shape ``(n_rows,)``."""
        return np.asarray(self.manager.get_from_registry(key)).ravel().astype(np.int64)

    @property
    def domain(self) -> NDArray[np.int64]:
        """Codes of the main domain column, shape ``(n_rows,)``."""
        return self.codes(REGISTRY_KEYS.BATCH_KEY)

    def size_factors(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Size factors of rows, ``(n_rows, 1)``; ``None`` when there are none."""
        if REGISTRY_KEYS.SIZE_FACTOR_KEY not in self.manager.data_registry:
            return None
        factors = np.asarray(self.manager.get_from_registry(REGISTRY_KEYS.SIZE_FACTOR_KEY))[rows]
        return factors.astype(np.float32).reshape(-1, 1)

    def n_missing_genes(self) -> int:
        """Count genes that are missing, of modalities that some row has."""
        missing = ~self.gene_mask
        if MODALITIES in self.obsm:
            has = self.obsm[MODALITIES]
            genes = genes_by_modality(self.var_names, list(has.columns))
            is_there = np.asarray(has).max(axis=0, initial=0) > 0
            missing = missing & np.repeat(is_there, [len(own) for own in genes.values()])
        return int(missing.sum())

    def _expression(self) -> Any:
        return AnnData.X.fget(self) if self.on_disk is None else self.on_disk

    X = property(_expression, AnnData.X.fset)


def prepare(
    adata: AnnData,
    columns: Columns,
    *,
    reference_genes: Sequence[str] | None = None,
    min_genes: int | None = None,
    classes: Sequence[str] | None = None,
    domains: Sequence[str] = (),
    phenotypes: Sequence[Phenotype] | None = None,
    lazy: bool = False,
) -> PreparedAnnData:
    """Gather what a model needs from an AnnData object that was checked, without touching it.

    A matrix in a file (backed h5ad, zarr store, dask array) that would need more than 512 MB stays
    there, and its rows are read when they are needed.

    Of a trained model come ``reference_genes`` in its order (genes are matched by name; missing
    ones are reported, filled with zeros and marked in ``gene_mask``), ``classes`` (labels outside
    of them count as unlabelled), ``domains`` (rows without a column for them belong to none of
    these) and ``phenotypes``, whose columns may be missing. With ``lazy`` no matrix is too small to
    stay where it is.
    """
    matrix = select_matrix(adata, columns.layer)
    genes = pd.Index(adata.var_names.astype(str))
    on_disk = lazy or stays_on_disk(matrix)
    matrix = matrix if on_disk else in_memory(matrix)
    alignment = None
    if reference_genes is not None:
        alignment = match_genes(adata.var, reference_genes, min_genes=min_genes)
        warn_of_missing(alignment, "of the model", adata.var_names)
        matrix = matrix if on_disk else alignment.take(matrix)
        genes = pd.Index(reference_genes)
    unlabeled = columns.unlabeled_category
    if phenotypes is None:
        phenotypes = find_phenotypes(adata.obs, columns.target_keys, unlabeled)
    obs = _observations(adata.obs, columns, classes, domains)
    for phenotype in phenotypes:
        obs[phenotype.key] = phenotype_column(adata.obs, phenotype, unlabeled)
    var = pd.DataFrame(index=genes)
    prepared = PreparedAnnData(X=None if on_disk else matrix, obs=obs, var=var)
    if on_disk:
        is_same = alignment is None or alignment.is_identity
        prepared.on_disk = DiskMatrix(matrix, None if is_same else alignment)
    prepared.gene_mask = np.ones(len(genes), dtype=bool) if alignment is None else alignment.mask
    prepared.scaling_notes, prepared.checksum = {}, 0 if on_disk else checksum(matrix)
    if columns.tree is not None:
        learnt = prepared.obs[columns.labels_key].cat.categories[:-1].tolist()
        prepared.possible = columns.tree.possible(adata.obs, learnt, unlabeled)
    if isinstance(adata, FlatAnnData):
        prepared.obsm[MODALITIES], prepared.gene_mask = adata.obsm[MODALITIES], adata.gene_mask
    return prepared


def warn_of_missing(
    alignment: GeneAlignment, whose: str, names: pd.Index, fate: str = "masked"
) -> None:
    """Log how many genes are missing, and of which form the names are that match none."""
    if not alignment.n_missing:
        return
    others = names[~np.isin(np.arange(len(names)), alignment.source)].astype(str)
    forms = ", ".join(f"{n} {form}" for form, n in gene_forms(others).items())
    logger.warning(
        "%d of %d genes %s are missing, for instance %s; they are %s.%s",
        alignment.n_missing,
        len(alignment.source),
        whose,
        ", ".join(alignment.missing_examples),
        fate,
        f" Of the data match none: {forms}, such as {others[0]}." if len(others) else "",
    )


def check_unchanged(adata: AnnData | MuData, prepared: PreparedAnnData) -> None:
    """Refuse an object whose rows or values are no longer those that were set up.

    Rows must not be removed, reordered or renamed, and values not be changed in place. Of a MuData
    the prepared object may have some of the rows.
    """
    names, known = adata.obs_names, prepared.obs_names
    if isinstance(adata, MuData) and len(names) > len(known):
        names = names[names.isin(known)]
    change = ""
    if len(names) != len(known):
        change = f"it has {len(names)} rows, and had {len(known)}"
    elif not names.astype(object).equals(known.astype(object)):
        change = "its rows have other names, or another order"
    elif prepared.on_disk is None and checksum(prepared.X) != prepared.checksum:
        change = (
            "its values were changed in place (keep those of the model in a layer of their own)"
        )
    if change:
        msg = (
            f"The data were changed since they were set up: {change}. Pass a copy, such as "
            "model.predict(adata.copy()), to have them read anew, or call setup_anndata again "
            "and make a new model."
        )
        raise InputError(msg)


def _observations(
    obs: pd.DataFrame, columns: Columns, classes: Sequence[str] | None, domains: Sequence[str]
) -> pd.DataFrame:
    """Copy the columns that are needed: domains, labels, covariates."""
    out = pd.DataFrame(index=obs.index.astype(str))
    unseen = UNSEEN_DOMAIN
    while unseen in domains:
        unseen += "_"
    for key in columns.batch_keys:
        if key == ONE_DOMAIN:
            out[key] = pd.Categorical([EVERY_ROW] * len(obs))
            continue
        out[key] = pd.Categorical(
            clean_names(obs[key], missing=False).astype(str) if key in obs else [unseen] * len(obs)
        )
    labels = obs.get(columns.labels_key)
    if columns.tree is not None:
        labels = columns.tree.classes_of(obs, columns.unlabeled_category)
    out[columns.labels_key] = label_column(labels, len(obs), columns.unlabeled_category, classes)
    for key in columns.covariates:
        out[key] = obs[key].to_numpy()
    return out


def label_column(
    column: pd.Series | None,
    n_rows: int,
    unlabeled_category: str,
    classes: Sequence[str] | None = None,
) -> pd.Categorical:
    """Labels as a categorical: used classes in alphabetical order, the unlabelled one last.

    Missing values, a missing column, classes with one row and classes that the model does not know
    all become the unlabelled category.
    """
    values = np.full(n_rows, unlabeled_category, dtype=object)
    if column is not None:
        column = clean_names(column)
        given = column.astype(object).where(column.notna(), unlabeled_category)
        values = given.astype(str).to_numpy()
    if classes is None:
        names, count = np.unique(values.astype(str), return_counts=True)
        classes = [name for name in names[count > 1].tolist() if name != unlabeled_category]
    known = list(classes)
    values = np.where(np.isin(values, known), values, unlabeled_category)
    return pd.Categorical(values, categories=[*known, unlabeled_category])


def find_phenotypes(
    obs: pd.DataFrame, keys: Sequence[str], unlabeled_category: str
) -> tuple[Phenotype, ...]:
    """Read from the columns which phenotypes are quantities and which classes the others have."""
    categories = {
        key: label_column(obs[key], len(obs), unlabeled_category).categories[:-1]
        for key in keys
        if not is_number_column(obs[key])
    }
    return tuple(Phenotype(key, tuple(categories.get(key, ()))) for key in keys)


def phenotype_column(
    obs: pd.DataFrame, phenotype: Phenotype, unlabeled_category: str
) -> NDArray[np.float64] | pd.Categorical:
    """Values of a phenotype: numbers, NaN where there is none, or labels as of the main one."""
    column = obs.get(phenotype.key)
    if not phenotype.is_numeric:
        return label_column(column, len(obs), unlabeled_category, phenotype.classes)
    if column is None:
        return np.full(len(obs), np.nan)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def reference_order(obs: pd.DataFrame, labels_key: str, classes: Sequence[str]) -> list[str]:
    """Classes in the order in which the user's column lists them; alphabetical for plain text."""
    column = obs.get(labels_key)
    if column is None or not isinstance(column.dtype, pd.CategoricalDtype):
        return list(classes)
    names = (bare_name(str(c)) for c in column.cat.categories)
    listed = [c for c in dict.fromkeys(names) if c in set(classes)]
    return listed if len(listed) == len(classes) else list(classes)


def checksum(matrix: Any) -> int:
    """Checksum of values spread evenly over a matrix in memory: all of them, or some 2**18."""
    step = 1 + matrix.size // 2**18
    values = matrix.data[::step] if sparse.issparse(matrix) else matrix[::step]
    return zlib.crc32(np.ascontiguousarray(values).tobytes())


def genes_by_modality(names: Sequence[str], modalities: Sequence[str]) -> dict[str, list[str]]:
    """Undo the joining of modality and gene names.

    Examples
    --------
    >>> genes_by_modality(["rna:TP53", "mirna:hsa-mir-21"], ["rna", "mirna"])
    {'rna': ['TP53'], 'mirna': ['hsa-mir-21']}
    """
    pairs = [str(name).split(SEPARATOR, 1) for name in names]
    return {m: [gene for modality, gene in pairs if modality == m] for m in modalities}
