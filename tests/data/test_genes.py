"""Genes are matched by name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from domainvi.data import align_genes, match_genes
from domainvi.errors import GeneMatchError, InputError

FORMATS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.coo_array]


def dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else matrix


def test_alignment_says_what_was_found() -> None:
    alignment = align_genes(["c", "a", "new", "b"], ["a", "b", "c", "lost"])
    np.testing.assert_array_equal(alignment.source, [1, 3, 0, -1])
    assert alignment.source.dtype == np.int64
    np.testing.assert_array_equal(alignment.mask, [True, True, True, False])
    assert (alignment.n_matched, alignment.n_missing, alignment.n_extra) == (3, 1, 1)
    assert alignment.missing_examples == ("lost",)
    assert not alignment.is_identity


@pytest.mark.parametrize("convert", FORMATS)
def test_take_reorders_and_fills_with_zeros(convert: Callable[[Any], Any]) -> None:
    matrix = np.array([[1, 2, 3], [4, 0, 6]], dtype=np.float32)
    out = align_genes(["c", "a", "x"], ["a", "lost", "c", "gone"]).take(convert(matrix))
    np.testing.assert_array_equal(dense(out), [[2, 0, 1, 0], [0, 0, 4, 0]])
    assert out.dtype == np.float32
    assert sparse.issparse(out) == (convert is not np.asarray)
    if sparse.issparse(out):
        assert out.format == "csr"
        assert isinstance(out, sparse.sparray) == isinstance(convert(matrix), sparse.sparray)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_whole_numbers_stay_whole(convert: Callable[[Any], Any]) -> None:
    alignment = align_genes(["b"], ["a", "b"])
    matrix = convert(np.array([[200]], dtype=np.uint8))
    assert alignment.take(matrix).dtype == np.uint8
    assert alignment.take(matrix)[0, 1] == 200


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_the_same_genes_in_order_are_not_copied(convert: Callable[[Any], Any]) -> None:
    alignment = align_genes(["a", "b"], ["a", "b"])
    matrix = convert(np.eye(2))
    assert alignment.is_identity
    assert alignment.take(matrix) is matrix


def test_a_longer_matrix_that_starts_alike_is_not_the_same() -> None:
    alignment = align_genes(["a", "b", "c"], ["a", "b"])
    assert not alignment.is_identity
    assert alignment.take(np.ones((4, 3))).shape == (4, 2)


@settings(deadline=None, max_examples=40)
@given(
    names=st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True),
    data=st.data(),
)
def test_take_undoes_any_shuffle(names: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(names))
    values = {name: float(i) for i, name in enumerate(names)}
    matrix = np.array([[values[name] for name in shuffled]])
    for form in (matrix, sparse.csr_matrix(matrix)):
        out = dense(align_genes(shuffled, names).take(form))
        np.testing.assert_array_equal(out, [list(values.values())])


def test_doubled_names_are_refused_in_either_list() -> None:
    with pytest.raises(InputError, match=r"adata\.var_names holds 1 names .* a\. Merge"):
        align_genes(["a", "a"], ["a"])
    with pytest.raises(InputError, match="reference_names holds 1 names"):
        align_genes(["a"], ["a", "a"])


@pytest.mark.parametrize("min_overlap", [-0.1, 1.1, np.nan])
def test_an_overlap_that_is_not_a_share_is_refused(min_overlap: float) -> None:
    with pytest.raises(InputError, match="min_overlap"):
        align_genes(["a"], ["a"], min_overlap)


def test_the_threshold_is_a_share_of_the_reference() -> None:
    names = ["a", "b", *"vwxyz"]
    assert align_genes(names, ["a", "b", "c", "d"], 0.5).n_matched == 2
    with pytest.raises(GeneMatchError, match=r"2 of the 5 reference genes \(40\.0%\).*50\.0%"):
        align_genes(names, ["a", "b", "c", "d", "e"], 0.5)


def test_no_shared_gene_is_refused_even_without_a_threshold() -> None:
    with pytest.raises(GeneMatchError, match=r"Missing, for instance: b\. Unknown .*: a\."):
        align_genes(["a"], ["b"], 0)
    with pytest.raises(GeneMatchError, match="Unknown to the reference, for instance: none"):
        align_genes([], ["b"], 0)
    with pytest.raises(InputError, match="reference_names is empty"):
        align_genes(["a"], [])


@pytest.mark.parametrize(
    ("names", "reference", "hint"),
    [
        (
            ["ENSG00000141510.18", "ENSG00000111640.15"],
            ["ENSG00000141510", "ENSG00000111640"],
            "Without version suffixes such as '.12', 2 genes match",
        ),
        (["ENSG00000141510", "ENSMUSG00000111"], ["TP53", "XIST"], "seem to use Ensembl ids"),
        (["TP53", "XIST"], ["ENSG00000141510", "ENSG00000111640"], "the reference Ensembl ids"),
        (["Trp53", "Xist", "Gapdh"], ["TP53", "XIST", "GAPDH"], "2 genes match: is it another"),
        (["TP53"], ["XIST"], "Check that both come from the same species"),
        ([*"abxyzw"], [*"abcdefg"], "few will do, set min_genes= of annotate (--min-genes)"),
    ],
)
def test_the_usual_causes_are_named(names: list[str], reference: list[str], hint: str) -> None:
    with pytest.raises(GeneMatchError) as caught:
        align_genes(names, reference)
    assert hint in str(caught.value)


def test_advice_on_too_few_genes_and_on_ids_is_taken() -> None:
    assert align_genes([*"abxyzw"], [*"abcdefg"], min_genes=2).n_matched == 2
    var = pd.DataFrame(index=["ENSG00000141510", "ENSG00000229807"])
    with pytest.raises(GeneMatchError, match=r"put the symbols into a column of adata\.var"):
        match_genes(var, ["TP53", "XIST"])
    assert match_genes(var.assign(name=["TP53", "XIST"]), ["TP53", "XIST"]).n_matched == 2


def test_take_refuses_another_number_of_columns() -> None:
    alignment = align_genes(["a", "b"], ["b"])
    with pytest.raises(InputError, match="matrix has 3 columns, but 2 genes"):
        alignment.take(np.ones((1, 3)))
