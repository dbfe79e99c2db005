"""Several references in one object: genes that all have, one column of labels, one of cohorts."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

from domainvi._checks import unknown_column
from domainvi.errors import DomainVIError, InputError

from ._columns import check_labels, is_number_column, shorten
from ._gene_names import match_genes
from ._matrix import describe_matrix, fraction_hint, raw_hint, select_matrix
from ._prepare import warn_of_missing
from ._validate import check_setup
from ._words import bare_name, clean_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

COHORT = "cohort"


def join_references(
    references: Mapping[str, ad.AnnData],
    *,
    labels_key: str | Sequence[str],
    batch_key: str | None = None,
    coarse_keys: Sequence[str] = (),
    columns: Sequence[str] = (),
    label_map: Mapping[str, str] | pd.DataFrame | None = None,
    layer: str | None = None,
    min_genes: int | None = None,
) -> ad.AnnData:
    """Join labelled references that teach together, whatever each calls its labels.

    The genes are those that every reference has, by name, in the order of the first: a model knows
    no genes that only some cohorts measured. Each reference is one cohort, unless it has a column
    that names several. Rows get the name of their reference behind their own where two references
    have a row of the same name.

    Parameters
    ----------
    references
        Data by the name of the reference.
    labels_key
        Column of ``obs`` with the phenotype: one for all, which some may lack and take part
        unlabelled, or one for each reference, in order. The result has the name of the first.
    batch_key
        Column of ``obs`` that names the cohort. A reference without it is one cohort, with its own
        name; so is each, in a column ``"cohort"``, if this is ``None``.
    coarse_keys
        Columns of ``obs`` with coarser names of the same phenotype. A reference may have one of
        these in place of the phenotype, and may name it in ``labels_key``.
    columns
        More columns of ``obs`` to keep. They are empty for references that lack them.
    label_map
        Common name of each label, as a mapping, or as a frame with columns ``"label"``, ``"name"``
        and, for labels of one reference only, ``"reference"``. Labels without an entry stay as they
        are, and those with an empty name become unlabelled. Numbers need an entry each, and whole
        ones are written without a point.
    layer
        Layer with the expression values, which become ``X`` of the result.
    min_genes
        Least number of genes that a reference must share with those before it; half of theirs, or
        what a panel has, if ``None``.

    Returns
    -------
    All rows, in the order of the references.

    Raises
    ------
    InputError
        If a column or a label of the map is not there, the column of cohorts is named as another,
        a reference is given twice, or some hold counts and others do not.
    GeneMatchError
        If a reference shares too few genes with those before it.

    Examples
    --------
    >>> both = dv.data.cohorts()
    >>> array, rnaseq = (both[both.obs["cohort"] == c].copy() for c in ("agilent", "rnaseq"))
    >>> rnaseq.obs = rnaseq.obs.rename(columns={"cancer_type": "site"})
    >>> rnaseq.obs["site"] = rnaseq.obs["site"].cat.rename_categories({"CRC": "colon"})
    >>> joined = dv.data.join_references(
    ...     {"array": array, "rnaseq": rnaseq[:, :1400]},
    ...     labels_key=["cancer_type", "site"],
    ...     label_map={"colon": "CRC"},
    ... )
    >>> joined.shape, joined.obs["cohort"].unique().tolist()
    ((391, 1400), ['array', 'rnaseq'])
    >>> sorted(joined.obs["cancer_type"].unique())
    ['CRC', 'KIRC', 'KIRP', 'LUAD']
    """
    _check_distinct(references)
    labels = label_columns(labels_key, len(references))
    names = common_names(label_map, references)
    cohort = _cohorts(references, batch_key)
    frames: dict[str, pd.DataFrame] = {}
    found: set[str] = set()
    unlabelled = []
    for (name, part), label in zip(references.items(), labels, strict=True):
        with _naming(name):
            check_setup(
                part,
                batch_keys=[batch_key] if batch_key and batch_key in part.obs else [],
                labels_key=None,
                layer=layer,
                require_labels=False,
                require_domains=False,
            )
            frame = part.obs[[key for key in (*coarse_keys, *columns) if key in part.obs]]
            if label not in part.obs and not set(coarse_keys) & set(frame):
                if not isinstance(labels_key, str):
                    raise InputError(unknown_column("labels_key", label, part.obs.columns))
                unlabelled.append(name)
            frames[name] = frame.assign(**{batch_key or COHORT: cohort[name].to_numpy()})
            if label in part.obs and label not in coarse_keys:
                names[name], own = _read_labels(part.obs[label], names[name], label)
                found.update(own)
                column = renamed(part.obs[label], names[name]) if names[name] else part.obs[label]
                check_labels(column, f"labels_key={label!r}", label)
                frames[name][labels[0]] = column
    _check_used(names, found)
    for argument, keys in (
        ("labels_key", labels[:1]),
        ("coarse_keys", coarse_keys),
        ("columns", columns),
    ):
        for key in keys:
            if key == (batch_key or COHORT):
                msg = (
                    f"{argument} names {key!r}, the column of cohorts in the result. Leave it out "
                    "there and pass it as batch_key if it names cohorts, or rename the column."
                )
                raise InputError(msg)
            if not any(key in frame for frame in frames.values()):
                there = dict.fromkeys(c for part in references.values() for c in part.obs)
                raise InputError(unknown_column(argument, key, there))
    if unlabelled:
        said = "obs of %s has no column %r: all of its rows take part without a label."
        logger.warning(said, ", ".join(unlabelled), labels[0])
    return _stack(references, frames, layer, min_genes)


def label_columns(labels_key: str | Sequence[str], n_references: int) -> list[str]:
    """Column of the labels in each reference, from one for all or one for each."""
    given = [labels_key] if isinstance(labels_key, str) else list(labels_key)
    if len(given) not in (1, n_references):
        msg = (
            f"{len(given)} columns of labels for {n_references} references: {', '.join(given)}. "
            "Name one for all, or one for each, in order."
        )
        raise InputError(msg)
    return given if len(given) == n_references else given * n_references


def check_scales(
    first: ad.AnnData,
    other: ad.AnnData,
    layer: str | None,
    names: tuple[str, str] = ("The reference", "the query"),
) -> None:
    """Refuse counts on one side and other values on the other."""
    summaries = [describe_matrix(select_matrix(part, layer)) for part in (first, other)]
    kinds = [summary.kind for summary in summaries]
    is_empty = not all(summary.n_nonzero for summary in summaries)
    if not is_empty and (kinds[0] == "counts") != (kinds[1] == "counts"):
        words = ["counts" if kind == "counts" else "values that are no counts" for kind in kinds]
        msg = (
            f"{names[0]} holds {words[0]} and {names[1]} {words[1]}."
            f"{''.join(fraction_hint(s) for s in summaries)}{raw_hint(first)}{raw_hint(other)} "
            "Bring both to one scale, such as log2(x + 1), or choose counts in both with --layer."
        )
        raise InputError(msg)


def _check_distinct(references: Mapping[str, ad.AnnData]) -> None:
    if not references:
        msg = "references is empty: there is nothing to join. Pass data by name."
        raise InputError(msg)
    seen: dict[int, str] = {}
    for name, part in references.items():
        if (earlier := seen.setdefault(id(part), name)) != name:
            msg = f"{earlier!r} and {name!r} are one object. Pass each reference once."
            raise InputError(msg)


def _cohorts(references: Mapping[str, ad.AnnData], batch_key: str | None) -> dict[str, pd.Series]:
    """Cohort of each row, by the column where there is one, by the reference elsewhere."""
    found = {
        name: clean_names(part.obs[batch_key], missing=False).astype(str)
        for name, part in references.items()
        if batch_key in part.obs
    }
    if batch_key is not None and not found:
        there = dict.fromkeys(c for part in references.values() for c in part.obs)
        raise InputError(unknown_column("batch_key", batch_key, there))
    taken = {cohort for column in found.values() for cohort in column}
    for name in references.keys() - found.keys():
        own = name
        while own in taken:
            own += " (reference)"
        found[name] = pd.Series(own, index=references[name].obs_names)
    return found


def common_names(
    label_map: Mapping[str, str] | pd.DataFrame | None, references: Collection[str]
) -> dict[str, dict[str, str]]:
    """Read the common name of each label; rows for one reference go before those for all."""
    table = label_map
    if not isinstance(table, pd.DataFrame):
        pairs = list((label_map or {}).items())
        table = pd.DataFrame(pairs, columns=["label", "name"])
    if not {"label", "name"} <= set(table):
        msg = (
            f"label_map has columns {shorten(map(str, table))}; expected 'label' and 'name', and "
            "'reference' where a row is for one reference only."
        )
        raise InputError(msg)
    table = table.reindex(columns=["label", "name", "reference"]).astype(object)
    table = table.where(table.notna(), "").map(_as_text).map(bare_name)
    if unknown := sorted(set(table["reference"]) - {*references, ""}):
        msg = (
            f"label_map names references that are not there: {shorten(unknown)}. The "
            f"{len(references)} references are {shorten(references)}."
        )
        raise InputError(msg)
    table = table.drop_duplicates()
    twice = table[table.duplicated(["label", "reference"], keep=False)]
    if len(twice):
        label = twice["label"].iloc[0]
        both = twice.loc[twice["label"] == label, "name"]
        msg = f"label_map gives {label!r} {len(both)} names: {shorten(both)}. Keep one."
        raise InputError(msg)
    found = {}
    for name in references:
        rows = [table[table["reference"] == which] for which in ("", name)]
        found[name] = dict(pd.concat(rows)[["label", "name"]].to_numpy().tolist())
    return found


def _read_labels(
    column: pd.Series, names: Mapping[str, str], key: str
) -> tuple[dict[str, str], set[str]]:
    """Names of a column's labels, written as these are, and the labels; numbers need a name."""
    of_labels = dict(names)
    if is_number_column(column):
        of_labels = {label.removesuffix(".0"): name for label, name in names.items()}
    own = set(label_texts(column).dropna())
    if not of_labels.keys() >= own:
        check_labels(column, f"labels_key={key!r}", key)
    return of_labels, own


def _as_text(label: object) -> str:
    """Write a code as text, the same whether missing ones beside it have made it a float."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def label_texts(column: pd.Series) -> pd.Series:
    """Labels as text."""
    return clean_names(column).astype(object).map(_as_text, na_action="ignore")


def renamed(column: pd.Series, names: Mapping[str, str]) -> pd.Series:
    """Labels by their common names; an empty one means none."""
    return (
        label_texts(column)
        .map(lambda own: names.get(own, own) or None, na_action="ignore")
        .astype("category")
    )


def _check_used(names: Mapping[str, Mapping[str, str]], labels: set[str]) -> None:
    """Refuse a map that names no label of any reference, and say what it names in vain."""
    given = {label for own in names.values() for label in own}
    if given and not given & labels:
        msg = (
            f"label_map has none of the {len(labels)} labels, {shorten(sorted(labels))}; it has "
            f"{shorten(sorted(given))}. Use the labels as obs has them."
        )
        raise InputError(msg)
    if unused := sorted(given - labels):
        logger.warning(
            "%d of %d labels in label_map are in no reference: %s.",
            len(unused),
            len(given),
            shorten(unused),
        )


def shared_genes(
    tables: Mapping[str, pd.DataFrame], min_genes: int | None = None
) -> dict[str, NDArray[np.int64]]:
    """Find the genes that all have, by name, in the order of the first.

    Parameters
    ----------
    tables
        ``var`` by the name of the reference.
    min_genes
        Least number of genes that one must share with those before it.

    Returns
    -------
    Columns of the shared genes in each.

    Examples
    --------
    >>> genes = {"a": ["MYC", "TP53"], "b": ["TP53", "KRAS", "MYC"]}
    >>> found = shared_genes({k: pd.DataFrame(index=v) for k, v in genes.items()})
    >>> found["b"].tolist()
    [2, 0]
    """
    (first, var), *others = tables.items()
    found: dict[str, NDArray[np.int64]] = {first: np.arange(len(var))}
    for name, other in others:
        before = ", ".join(found)
        with _naming(f"{name}, beside {before}"):
            genes = match_genes(other, var.index, var, min_genes=min_genes)
        warn_of_missing(genes, f"of {before}", other.index, f"left out, since {name} lacks them")
        found = {which: columns[genes.mask] for which, columns in found.items()}
        found[name], var = genes.source[genes.mask], var[genes.mask]
    return found


def _stack(
    references: Mapping[str, ad.AnnData],
    frames: Mapping[str, pd.DataFrame],
    layer: str | None,
    min_genes: int | None,
) -> ad.AnnData:
    """Stack references on the genes that all of them have."""
    own = shared_genes({name: part.var for name, part in references.items()}, min_genes)
    (first, head), *others = references.items()
    for name, part in others:
        check_scales(head, part, layer, (first, name))
    var = head.var.iloc[own[first]]
    parts = {
        name: ad.AnnData(
            select_matrix(part[:, own[name]], layer), obs=frames[name], var=var[[]].copy()
        )
        for name, part in references.items()
    }
    rows = pd.Index(np.concatenate([part.obs_names for part in parts.values()]))
    doubled = rows[rows.duplicated()].unique()
    if len(doubled):
        logger.warning(
            "%d names of rows stand in several references, for instance %s; if they are the same "
            "samples, leave them out of one. Rows have the name of their reference behind theirs.",
            len(doubled),
            doubled[0],
        )
    joined = ad.concat(parts, join="outer", index_unique="-" if len(doubled) else None)
    joined.var = var.copy()
    return joined


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the name of the reference before the message of what is wrong with it."""
    try:
        yield
    except DomainVIError as error:
        msg = f"{name}: {error}"
        raise type(error)(msg) from error
