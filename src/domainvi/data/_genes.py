"""Genes are matched by name, never by position."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domainvi.errors import GeneMatchError, InputError

from ._matrix import take_present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_N_EXAMPLES = 5
# Genes from which a panel teaches enough, whatever share of the reference they are.
_PANEL = 100
_POSITION = re.compile(
    r"^(V|X|Unnamed: |[Cc]ol(?:umn)?[ _]?|[Vv]ar[ _]?|[Ff]eature[ _]?|)(\d+)(?:\.0)?$"
)
# Numbered names that say as little, unless both files come from one list.
_NUMBERED = re.compile(r"^[Gg](ene)?[ _]?(\d+)$")
_VERSION = re.compile(r"\.\d+$")
_ENSEMBL = re.compile(r"^ENS[A-Z]*\d{6,}")
# What is put around names of genes, and what removes it.
_WRAPPINGS = {
    "blanks and quotes around the names": r'^(b?[\x27"]|\s)+|[\x27"\s]+$',
    "the name of the genome in front": r"^(GRCh3\d|GRCm3\d|hg\d+|mm\d+|T2T)_+",
    "what stands behind the first '|' or '_'": r"[|_].*$",
    "what stands before the last '|' or '_'": r"^.*[|_]",
}


@dataclass(frozen=True, eq=False)
class GeneAlignment:
    """Where each reference gene stands in another matrix.

    Parameters
    ----------
    source
        For each reference gene its column in the other matrix, or -1 where it is missing;
        int64, shape ``(n_reference,)``.
    n_genes
        Number of columns of the other matrix.
    missing_examples
        The first few reference genes that the other matrix lacks.

    Examples
    --------
    >>> found = dv.data.align_genes(["MYC", "TP53", "EGFR"], ["TP53", "MYC", "KRAS"])
    >>> found.source.tolist(), found.n_missing, found.n_extra
    ([1, 0, -1], 1, 1)
    """

    source: NDArray[np.int64]
    n_genes: int
    missing_examples: tuple[str, ...] = ()

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True for the reference genes that are present; shape ``(n_reference,)``."""
        return self.source >= 0

    @property
    def n_matched(self) -> int:
        """Number of reference genes that are present."""
        return int(self.mask.sum())

    @property
    def n_missing(self) -> int:
        """Number of reference genes that are absent."""
        return len(self.source) - self.n_matched

    @property
    def n_extra(self) -> int:
        """Number of genes of the other matrix that the reference does not know."""
        return self.n_genes - self.n_matched

    @property
    def is_identity(self) -> bool:
        """Whether both lists hold the same genes in the same order."""
        return np.array_equal(self.source, np.arange(self.n_genes))

    def take(self, matrix: Any) -> Any:
        """Bring a matrix into the order of the reference; missing genes are 0.

        Parameters
        ----------
        matrix
            Dense or scipy sparse, shape ``(n_obs, n_genes)``.

        Returns
        -------
        A dense array for dense input, CSR for sparse input; shape ``(n_obs, n_reference)``, of the
        same type. The matrix itself is returned, uncopied, where nothing moves.

        Raises
        ------
        InputError
            If the matrix has another number of columns.
        """
        if matrix.shape[1] != self.n_genes:
            msg = f"matrix has {matrix.shape[1]} columns, but {self.n_genes} genes were aligned."
            raise InputError(msg)
        return take_present(matrix, self.source, axis=1)


def align_genes(
    adata_var_names: Sequence[str] | pd.Index,
    reference_names: Sequence[str] | pd.Index,
    min_overlap: float | None = None,
    *,
    min_genes: int | None = None,
) -> GeneAlignment:
    """Find each reference gene in another list of genes.

    Parameters
    ----------
    adata_var_names
        Gene names of the new data.
    reference_names
        Gene names that the model was set up with; their order is kept.
    min_overlap
        Least share of the reference genes that must be present, between 0 and 1. ``None`` asks for
        half of them, or for what a panel has: 100 genes, and half of its own. At least one gene
        has to match in any case.
    min_genes
        Least number of reference genes that must be present, in place of the share.

    Returns
    -------
    The alignment; its ``take`` reorders a matrix.

    Raises
    ------
    InputError
        If a name stands twice in one list, the reference is empty or ``min_overlap`` is no share.
    GeneMatchError
        If too few genes match, or the names of both are numbers of columns only.

    Examples
    --------
    >>> alignment = dv.data.align_genes(["TP53", "GAPDH", "XIST"], ["XIST", "TP53", "MYC"])
    >>> alignment.source.tolist(), alignment.missing_examples
    ([2, 0, -1], ('MYC',))
    >>> alignment.take(np.array([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0, 0.0]]
    """
    if min_overlap is not None and not 0 <= min_overlap <= 1:
        msg = f"min_overlap={min_overlap!r} is not a share between 0 and 1."
        raise InputError(msg)
    names = _unique_index(adata_var_names, "adata.var_names")
    reference = _unique_index(reference_names, "reference_names")
    if reference.empty:
        msg = "reference_names is empty: there is no gene to align to."
        raise InputError(msg)
    if is_positional(names) and is_positional(reference):
        msg = (
            f"The names of the genes are positions, such as {', '.join(names[:3])}, in both lists: "
            "they say nothing of which gene is which. Name the genes of both, such as "
            "adata.var_names = adata.var['gene_symbol']."
        )
        raise GeneMatchError(msg)
    source = _places(names, reference)
    missing = tuple(reference[source < 0][:_N_EXAMPLES])
    alignment = GeneAlignment(source, len(names), missing)
    n, n_reference = alignment.n_matched, len(reference)
    if not is_enough(n, n_reference, len(names), min_overlap, min_genes):
        needed = f"{0.5 if min_overlap is None else min_overlap:.1%} and one gene"
        needed = needed if min_genes is None else f"{min_genes} genes (min_genes)"
        raise GeneMatchError(_mismatch(alignment, names, reference, needed))
    if all(_NUMBERED.match(name) for name in (*names, *reference)) and len(names):
        logger.warning(
            "The genes have numbers for names, such as %s, and are matched by them: make sure that "
            "a number stands for the same gene in both.",
            names[0],
        )
    return alignment


def is_enough(
    n: int, n_reference: int, n_names: int, min_overlap: float | None, min_genes: int | None
) -> bool:
    """Whether so many shared genes suffice: by number, by share, or as of a gene panel."""
    if min_genes is not None:
        return n >= max(1, min_genes)
    is_panel = min_overlap is None and n >= _PANEL and 2 * n >= n_names
    return is_panel or n >= max(1.0, (0.5 if min_overlap is None else min_overlap) * n_reference)


def is_positional(names: pd.Index) -> bool:
    """Whether names are numbers of columns, as arrays without names get; Entrez has no 0.

    Examples
    --------
    >>> is_positional(pd.Index(["0", "1", "2"])), is_positional(pd.Index(["7157", "1956"]))
    (True, False)
    """
    parts = [_POSITION.match(str(name)) for name in names]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or not found or len({part[1] for part in found}) > 1:
        return False
    numbers = {int(part[2]) for part in found}
    return len(numbers) > 1 and (0 in numbers or max(numbers) <= 2 * len(numbers))


def _places(names: pd.Index, reference: pd.Index) -> NDArray[np.int64]:
    """Find names; those that ``var_names_make_unique`` made say nothing in another file."""
    source = names.get_indexer(reference).astype(np.int64)
    if names.equals(reference):
        return source
    made = _made_unique(names) | _made_unique(reference)
    hit = reference.isin(list(made)) & (source >= 0)
    if hit.any():
        logger.warning(
            "%d genes with a number behind a name that stands by itself too, for instance %s, are "
            "not matched: which of several columns they are differs from file to file.",
            int(hit.sum()),
            ", ".join(reference[hit][:_N_EXAMPLES]),
        )
        source[hit] = -1
    return source


def _made_unique(names: pd.Index) -> set[str]:
    """Names such as ``"TP53-1"`` beside ``"TP53"``."""
    there = set(names)
    parts = ((name, *str(name).rpartition("-")) for name in names)
    return {n for n, base, _, end in parts if base in there and end.isdecimal()}


def _unique_index(names: Sequence[str] | pd.Index, argument: str) -> pd.Index:
    index = pd.Index([str(name) for name in names], dtype=object)
    doubled = index[index.duplicated()].unique()
    if len(doubled):
        msg = (
            f"{argument} holds {len(doubled)} names more than once, for instance "
            f"{', '.join(doubled[:_N_EXAMPLES])}. Merge these genes, or keep one of each: "
            "adata = adata[:, ~adata.var_names.duplicated()].copy()."
        )
        raise InputError(msg)
    return index


def _mismatch(alignment: GeneAlignment, names: pd.Index, reference: pd.Index, needed: str) -> str:
    extra = names.difference(reference, sort=False)[:_N_EXAMPLES]
    return (
        f"adata.var_names has {alignment.n_matched} of the {len(reference)} reference genes "
        f"({alignment.n_matched / len(reference):.1%}); at least {needed} "
        f"are needed. Missing, for instance: {', '.join(alignment.missing_examples)}. "
        f"Unknown to the reference, for instance: {', '.join(extra) or 'none'}. "
        f"{_hint(names, reference, alignment.n_matched)}"
    )


def _hint(names: pd.Index, reference: pd.Index, n_matched: int) -> str:
    """Name the usual cause that would explain the mismatch."""
    for which, index in (("data", names), ("reference", reference)):
        if is_positional(index):
            return (
                f"The names of the {which} are positions, not genes: name them, such as "
                "adata.var_names = adata.var['gene_symbol']."
            )
    if n_matched == len(reference):
        return f"The reference has only {n_matched}: ask for fewer with min_genes= (--min-genes)."
    unversioned = _n_shared(names, reference, lambda name: _VERSION.sub("", name))
    if unversioned > n_matched:
        return (
            f"Without version suffixes such as '.12', {unversioned} genes match: strip them, for "
            r"instance with adata.var_names.str.replace(r'\.\d+$', '', regex=True)."
        )
    for what, pattern in _WRAPPINGS.items():
        bare = len({re.sub(pattern, "", name) for name in names}.intersection(reference))
        if bare > n_matched:
            return (
                f"Without {what}, {bare} genes match: adata.var_names = "
                f"adata.var_names.str.replace(r'{pattern}', '', regex=True)."
            )
    ensembl = [_ensembl_share(index) > 0.5 for index in (names, reference)]
    if ensembl[0] != ensembl[1]:
        got, wanted = ("Ensembl ids", "symbols") if ensembl[0] else ("symbols", "Ensembl ids")
        return (
            f"The data seem to use {got}, the reference {wanted}: convert adata.var_names, or put "
            f"the {wanted} into a column of adata.var, which is used if there is one."
        )
    caseless = _n_shared(names, reference, str.upper)
    if caseless > n_matched:
        cases = ("upper", "lower", "capitalize")
        case = max(cases, key=lambda c: len(getattr(names.str, c)().intersection(reference)))
        return (
            f"Ignoring upper and lower case, {caseless} genes match: is it another species? "
            "Then translate its genes to orthologues; if not, spell them alike: adata.var_names = "
            f"adata.var_names.str.{case}()."
        )
    if 2 * n_matched >= len(names):
        return (
            "Most genes of the data are in the reference, so this is a small panel: subset the "
            "reference to its genes, or allow it with min_genes= of annotate (--min-genes)."
        )
    fewer = " If so few will do, set min_genes= of annotate (--min-genes)." if n_matched else ""
    return f"Check that both come from the same species and gene annotation.{fewer}"


def _n_shared(names: pd.Index, reference: pd.Index, simplify: Any) -> int:
    return len(set(map(simplify, names)).intersection(map(simplify, reference)))


def _ensembl_share(names: pd.Index) -> float:
    return float(np.mean([bool(_ENSEMBL.match(name)) for name in names])) if len(names) else 0.0
