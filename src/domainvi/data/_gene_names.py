"""Which names of genes mean the same in two files, and which are only positions."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from domainvi.errors import GeneMatchError

from ._genes import GeneAlignment, align_genes, is_enough, is_positional

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

_VERSION = re.compile(r"\.\d+$")
_FORMS = {
    "Ensembl ids with versions": re.compile(r"^ENS[A-Z]*\d{6,}\.\d+$"),
    "Ensembl ids": re.compile(r"^ENSG\d{6,}$"),
    "Ensembl ids (mouse)": re.compile(r"^ENSMUSG\d{6,}$"),
    "Ensembl ids (other species)": re.compile(r"^ENS[A-Z]+\d{6,}$"),
    "microRNAs": re.compile(r"^[a-z]{3}-(mir|miR|let)-"),
    "numbers (Entrez)": re.compile(r"^\d+$"),
    "probes": re.compile(r"^(\d+(_[a-z])?_at|ILMN_\d+|A_\d+_P\d+)$"),
}
_N_EXAMPLES = 5
# Columns of ``var`` with a name for nearly each gene.
_DISTINCT = 0.5


def match_genes(
    var: pd.DataFrame,
    reference_names: Sequence[str] | pd.Index,
    reference_var: pd.DataFrame | None = None,
    *,
    min_overlap: float | None = None,
    min_genes: int | None = None,
) -> GeneAlignment:
    """Find reference genes by name, or by what columns of ``var`` of either side call them.

    Names in ``var_names`` come first. Where they do not suffice, identifiers without their version
    and columns of text, such as ``gene_ids``, are compared as well, and the pair that has most in
    common is taken and logged. What stands twice in such a column is not matched.

    Examples
    --------
    >>> var = pd.DataFrame({"gene_symbols": ["TP53", "MYC"]}, index=["ENSG1.3", "ENSG2.1"])
    >>> match_genes(var, ["MYC", "TP53"]).source.tolist()
    [1, 0]
    """
    reference = pd.Index([str(name) for name in reference_names], dtype=object)
    names = pd.Index(var.index.astype(str), dtype=object)
    unique = names.is_unique and reference.is_unique
    direct = len(names.intersection(reference)) if unique else 0
    if not unique or is_enough(direct, len(reference), len(names), min_overlap, min_genes):
        return _direct(var, names, reference, min_overlap, min_genes)
    best = (direct, "", "", names, reference)
    for ours, own in _forms(var, names).items():
        for theirs, other in _forms(reference_var, reference).items():
            n = len(_once(own).dropna().intersection(_once(other).dropna()))
            if n > best[0]:
                best = (n, ours, theirs, own, other)
    n, ours, theirs, own, other = best
    if not ours or not is_enough(n, len(reference), len(names), min_overlap, min_genes):
        return _direct(var, names, reference, min_overlap, min_genes)
    source = _indexer(_once(own), _once(other))
    doubled = own[own.duplicated(keep=False) & own.notna()].unique()
    logger.warning(
        "Genes are matched by %s of the data and %s of the reference: %d of %d; by var_names %d "
        "would be.%s",
        ours,
        theirs,
        n,
        len(reference),
        direct,
        f" Names that stand more than once are not matched: {len(doubled)}, for instance "
        f"{', '.join(doubled[:_N_EXAMPLES])}."
        if len(doubled)
        else "",
    )
    return GeneAlignment(source, len(names), tuple(reference[source < 0][:_N_EXAMPLES]))


def gene_forms(names: pd.Index) -> dict[str, int]:
    """Count names of genes by their form.

    Examples
    --------
    >>> gene_forms(pd.Index(["ENSG00000141510.18", "ENSMUSG00000059552", "TP53"]))
    {'Ensembl ids with versions': 1, 'Ensembl ids (mouse)': 1, 'symbols or others': 1}
    """
    if is_positional(names):
        return {"positions, no names": len(names)}
    forms = [_form(str(name)) for name in names]
    return {form: forms.count(form) for form in dict.fromkeys(forms)}


def _form(name: str) -> str:
    return next((form for form, like in _FORMS.items() if like.match(name)), "symbols or others")


def _direct(
    var: pd.DataFrame,
    names: pd.Index,
    reference: pd.Index,
    min_overlap: float | None,
    min_genes: int | None,
) -> GeneAlignment:
    """Match by ``var_names`` alone; a refusal names the columns that look like names."""
    try:
        return align_genes(names, reference, min_overlap, min_genes=min_genes)
    except GeneMatchError as error:
        columns = ", ".join(f"adata.var[{key!r}]" for key in _name_columns(var))
        if not columns:
            raise
        msg = f"{error} Columns that look like gene names: {columns}."
        raise GeneMatchError(msg) from error


def _name_columns(var: pd.DataFrame | None) -> list[str]:
    """Columns of text with another value for most genes."""
    if var is None:
        return []
    text = {key: column for key, column in var.items() if _is_text(column)}
    return [str(k) for k, c in text.items() if c.nunique() >= max(2, _DISTINCT * len(c))]


def _is_text(column: pd.Series) -> bool:
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        kind = kind.categories.dtype
    return pd.api.types.is_string_dtype(kind) or kind.kind == "O"


def _forms(var: pd.DataFrame | None, names: pd.Index) -> dict[str, pd.Index]:
    """List the names for the same genes, by what they are called."""
    found = {"var_names": names}
    for key in _name_columns(var):
        column = var[key].astype(object)  # type: ignore[index]
        found[f"var[{key!r}]"] = pd.Index(column.where(column.notna(), None), dtype=object)
    bare = {
        f"{what} without versions": own.map(lambda n: _VERSION.sub("", n) if n else n)
        for what, own in found.items()
        if any(n and str(n).startswith("ENS") for n in own[:50])
    }
    return found | bare


def _once(names: pd.Index) -> pd.Index:
    """Names that stand once; missing elsewhere."""
    return names.where(~names.duplicated(keep=False), None)


def _indexer(names: pd.Index, reference: pd.Index) -> np.ndarray:
    """Place of each reference name, -1 for what is not there or missing."""
    place = {name: i for i, name in enumerate(names) if name is not None}
    return np.array([place.get(name, -1) if name else -1 for name in reference], dtype=np.int64)
