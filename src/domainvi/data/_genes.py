"""Genes are matched by name, never by position."""

from __future__ import annotations

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

_N_EXAMPLES = 5
_VERSION = re.compile(r"\.\d+$")
_ENSEMBL = re.compile(r"^ENS[A-Z]*\d{6,}")


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
    min_overlap: float = 0.5,
) -> GeneAlignment:
    """Find each reference gene in another list of genes.

    Parameters
    ----------
    adata_var_names
        Gene names of the new data.
    reference_names
        Gene names that the model was set up with; their order is kept.
    min_overlap
        Least share of the reference genes that must be present, between 0 and 1. At least one gene
        has to match in any case.

    Returns
    -------
    The alignment; its ``take`` reorders a matrix.

    Raises
    ------
    InputError
        If a name stands twice in one list, the reference is empty or ``min_overlap`` is no share.
    GeneMatchError
        If too few genes match.

    Examples
    --------
    >>> alignment = dv.data.align_genes(["TP53", "GAPDH", "XIST"], ["XIST", "TP53", "MYC"])
    >>> alignment.source.tolist(), alignment.missing_examples
    ([2, 0, -1], ('MYC',))
    >>> alignment.take(np.array([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0, 0.0]]
    """
    if not 0 <= min_overlap <= 1:
        msg = f"min_overlap={min_overlap!r} is not a share between 0 and 1."
        raise InputError(msg)
    names = _unique_index(adata_var_names, "adata.var_names")
    reference = _unique_index(reference_names, "reference_names")
    if reference.empty:
        msg = "reference_names is empty: there is no gene to align to."
        raise InputError(msg)
    source = names.get_indexer(reference).astype(np.int64)
    missing = tuple(reference[source < 0][:_N_EXAMPLES])
    alignment = GeneAlignment(source, len(names), missing)
    if alignment.n_matched < max(1.0, min_overlap * len(reference)):
        raise GeneMatchError(_mismatch(alignment, names, reference, min_overlap))
    return alignment


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


def _mismatch(
    alignment: GeneAlignment, names: pd.Index, reference: pd.Index, min_overlap: float
) -> str:
    extra = names.difference(reference, sort=False)[:_N_EXAMPLES]
    return (
        f"adata.var_names has {alignment.n_matched} of the {len(reference)} reference genes "
        f"({alignment.n_matched / len(reference):.1%}); at least {min_overlap:.1%} and one gene "
        f"are needed. Missing, for instance: {', '.join(alignment.missing_examples)}. "
        f"Unknown to the reference, for instance: {', '.join(extra) or 'none'}. "
        f"{_hint(names, reference, alignment.n_matched)}"
    )


def _hint(names: pd.Index, reference: pd.Index, n_matched: int) -> str:
    """Name the usual cause that would explain the mismatch."""
    unversioned = _n_shared(names, reference, lambda name: _VERSION.sub("", name))
    if unversioned > n_matched:
        return (
            f"Without version suffixes such as '.12', {unversioned} genes match: strip them, for "
            r"instance with adata.var_names.str.replace(r'\.\d+$', '', regex=True)."
        )
    ensembl = [_ensembl_share(index) > 0.5 for index in (names, reference)]
    if ensembl[0] != ensembl[1]:
        got, wanted = ("Ensembl ids", "symbols") if ensembl[0] else ("symbols", "Ensembl ids")
        return f"The data seem to use {got}, the reference {wanted}: convert adata.var_names."
    caseless = _n_shared(names, reference, str.upper)
    if caseless > n_matched:
        return f"Ignoring upper and lower case, {caseless} genes match: is it another species?"
    return "Check that both come from the same species and gene annotation."


def _n_shared(names: pd.Index, reference: pd.Index, simplify: Any) -> int:
    return len(set(map(simplify, names)).intersection(map(simplify, reference)))


def _ensembl_share(names: pd.Index) -> float:
    return float(np.mean([bool(_ENSEMBL.match(name)) for name in names])) if len(names) else 0.0
