"""MuData as one table: rows, columns, what is missing, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from domainvi.data import MODALITIES, choose_modalities, flatten, genes_by_modality
from domainvi.data._matrix import take_present
from domainvi.data._mudata import side_by_side
from domainvi.errors import GeneMatchError, InputError

BOTH = {"rna": None, "mirna": None}
GENES = {"rna": ["A", "B", "C"], "mirna": ["x", "y"]}


def table(values: list[list[float]], rows: str, genes: str) -> AnnData:
    obs, var = pd.DataFrame(index=list(rows)), pd.DataFrame(index=list(genes))
    return AnnData(np.array(values, dtype=np.float32), obs=obs, var=var)


@pytest.fixture
def mdata() -> MuData:
    """Rows a to d: a and b have both, c mRNA only, d miRNA only, and in another order."""
    made = MuData(
        {
            "rna": table([[1, 2, 3], [4, 5, 6], [7, 8, 9]], "abc", "ABC"),
            "mirna": table([[10, 20], [30, 40], [50, 60]], "dab", "xy"),
        }
    )
    made.obs["cohort"] = pd.Series({"a": "k", "b": "l", "c": "k", "d": "l"})
    return made


def rows_of(flat: AnnData) -> dict[str, list[float]]:
    return dict(zip(flat.obs_names, np.asarray(flat.X).tolist(), strict=True))


def test_modalities_stand_side_by_side(mdata: MuData) -> None:
    flat = flatten(mdata, BOTH)
    assert list(flat.var_names) == ["rna:A", "rna:B", "rna:C", "mirna:x", "mirna:y"]
    assert rows_of(flat) == {
        "a": [1, 2, 3, 30, 40],
        "b": [4, 5, 6, 50, 60],
        "c": [7, 8, 9, 0, 0],
        "d": [0, 0, 0, 10, 20],
    }
    has = flat.obsm[MODALITIES].loc[list("abcd")].to_numpy()
    assert has.tolist() == [[1, 1], [1, 1], [1, 0], [0, 1]]
    assert flat.obs["cohort"].to_dict() == mdata.obs["cohort"].to_dict()


def test_one_modality_keeps_its_names_and_leaves_out_other_rows(mdata: MuData) -> None:
    flat = flatten(mdata, {"mirna": None})
    assert list(flat.var_names) == ["x", "y"]
    assert rows_of(flat) == {"a": [30, 40], "b": [50, 60], "d": [10, 20]}
    assert MODALITIES not in flat.obsm


def test_sparse_and_layers(mdata: MuData) -> None:
    mdata["rna"].layers["twice"] = sparse.csc_matrix(2 * mdata["rna"].X)
    flat = flatten(mdata, {"rna": "twice", "mirna": None})
    assert flat.X.format == "csr"
    assert flat["c"].X.toarray().tolist() == [[14, 16, 18, 0, 0]]


def test_genes_of_a_model_go_by_name(mdata: MuData) -> None:
    flat = flatten(mdata, BOTH, {"rna": ["C", "new", "A"], "mirna": ["y", "x"]})
    assert rows_of(flat)["a"] == [3, 0, 1, 40, 30]
    assert flat.gene_mask.tolist() == [True, False, True, True, True]


def test_a_whole_modality_may_be_missing(mdata: MuData) -> None:
    flat = flatten(MuData({"mirna": mdata["mirna"]}), BOTH, GENES)
    assert flat.shape == (3, 5)
    assert flat.gene_mask.tolist() == [False, False, False, True, True]
    assert flat.obsm[MODALITIES].to_numpy().tolist() == [[0, 1]] * 3


def test_an_anndata_is_told_by_its_genes(mdata: MuData) -> None:
    flat = flatten(mdata["mirna"], BOTH, GENES)
    assert flat.obsm[MODALITIES].to_numpy().tolist() == [[0, 1]] * 3
    with pytest.raises(GeneMatchError, match="without a gene of any modality"):
        flatten(table([[1]], "a", "q"), BOTH, GENES)


def test_too_few_genes_of_a_modality(mdata: MuData) -> None:
    with pytest.raises(GeneMatchError, match="'rna': .* 1 of the 4 reference genes"):
        flatten(mdata, BOTH, {"rna": ["A", "p", "q", "r"], "mirna": ["x", "y"]})


def test_the_object_is_left_alone(mdata: MuData) -> None:
    obs, x = mdata.obs.copy(), {name: mdata[name].X.copy() for name in BOTH}
    flatten(mdata, BOTH).X[:] = -1
    flat = flatten(mdata, {"rna": None})
    flat.obs["cohort"] = "other"
    pd.testing.assert_frame_equal(mdata.obs, obs)
    for name in BOTH:
        np.testing.assert_array_equal(mdata[name].X, x[name])


def test_choosing(mdata: MuData) -> None:
    assert choose_modalities(mdata, None) == BOTH
    assert choose_modalities(mdata, ["mirna"]) == {"mirna": None}
    assert choose_modalities(mdata, {"mirna": "counts"}) == {"mirna": "counts"}


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ("protein", "mdata has rna, mirna"),
        ([], "1 to 4 different names"),
        (["rna", "rna"], "1 to 4 different names"),
    ],
)
def test_modalities_that_do_not_exist(mdata: MuData, modalities: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_modalities(mdata, modalities)


def test_what_is_no_mudata(mdata: MuData) -> None:
    with pytest.raises(InputError, match=r"is a AnnData; expected a mudata\.MuData"):
        choose_modalities(mdata["rna"], None)
    with pytest.raises(InputError, match="got a list"):
        flatten([1], BOTH, GENES)
    with pytest.raises(InputError, match="none of them is there"):
        flatten(mdata, {"protein": None})


def test_modalities_by_columns_and_names_with_colons() -> None:
    by_genes = MuData({"a": table([[1]], "r", "g"), "b": table([[1]], "s", "g")}, axis=1)
    named = MuData({"a:b": table([[1]], "r", "g")})
    with pytest.raises(InputError, match="axis=1"):
        choose_modalities(by_genes, None)
    with pytest.raises(InputError, match="must not be empty or hold ':'"):
        choose_modalities(named, None)


def test_rows_that_mdata_does_not_know(mdata: MuData) -> None:
    mdata.mod["rna"] = table([[1, 2, 3]], "z", "ABC")
    with pytest.raises(InputError, match=r"Call mdata\.update\(\)"):
        flatten(mdata, BOTH)


def test_spreading_sparse_rows_is_spreading_dense_ones() -> None:
    dense = np.arange(6).reshape(3, 2)
    source = np.array([2, -1, 0, 0])
    want = take_present(dense, source, axis=0)
    assert want.tolist() == [[4, 5], [0, 0], [0, 1], [0, 1]]
    np.testing.assert_array_equal(take_present(sparse.csr_matrix(dense), source, 0).toarray(), want)


def test_the_widest_block_decides_the_format() -> None:
    wide, narrow = np.ones((2, 3)), np.zeros((2, 1))
    assert sparse.issparse(side_by_side([sparse.csr_matrix(wide), narrow]))
    assert isinstance(side_by_side([wide, sparse.csr_matrix(narrow)]), np.ndarray)


def test_gene_names_may_hold_the_separator() -> None:
    names = ["rna:a:1", "atac:chr1:5-9"]
    assert genes_by_modality(names, ["rna", "atac"]) == {"rna": ["a:1"], "atac": ["chr1:5-9"]}
