"""What bad input gets, one row each; and odd input that has to be accepted."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from domainvi.data import check_setup
from domainvi.errors import InputError

Unchanged = Callable[[Any], AbstractContextManager[None]]
Change = Callable[[AnnData], AnnData | None]

SETUP: dict[str, Any] = {
    "batch_keys": ["cohort"],
    "labels_key": "label",
    "unlabeled_category": "Unknown",
}


def put(column: str, values: Any) -> Change:
    """Replace an obs column; a list keeps its objects as they are."""

    def change(adata: AnnData) -> None:
        plain = isinstance(values, list)
        adata.obs[column] = pd.Series(values, adata.obs_names, dtype=object) if plain else values

    return change


def put_value(row: int, gene: int, value: float, layer: str | None = None) -> Change:
    def change(adata: AnnData) -> None:
        matrix = adata.X if layer is None else adata.layers[layer]
        matrix[row, gene] = value

    return change


def put_matrix(convert: Callable[[Any], Any]) -> Change:
    def change(adata: AnnData) -> AnnData:
        return AnnData(convert(adata.X), obs=adata.obs, var=adata.var)

    return change


def rename(axis: str, names: Callable[[list[str]], list[str]]) -> Change:
    def change(adata: AnnData) -> None:
        setattr(adata, f"{axis}_names", names(list(getattr(adata, f"{axis}_names"))))

    return change


def keep(rows: slice, genes: slice = slice(None)) -> Change:
    return lambda adata: adata[rows, genes].copy()


def same(adata: AnnData) -> None:
    """Leave the data as they are: the arguments are wrong."""


def sparse_nan(adata: AnnData) -> AnnData:
    matrix = np.array(adata.X)
    matrix[7, 2] = np.nan
    return AnnData(sparse.csc_matrix(matrix), obs=adata.obs, var=adata.var)


def categorical_without_x(adata: AnnData) -> AnnData:
    return AnnData(obs=adata.obs, var=adata.var, layers={"counts": np.array(adata.X)})


ALTERNATE = ["x", "y"] * 6
BAD: dict[str, tuple[Change, dict[str, Any], list[str]]] = {
    "not AnnData": (lambda adata: adata.obs, {}, ["adata is a DataFrame", "anndata.AnnData"]),
    "no rows": (keep(slice(0)), {}, ["adata is empty", "0 rows x 5 genes"]),
    "no genes": (keep(slice(None), slice(0)), {}, ["adata is empty", "12 rows x 0 genes"]),
    "doubled genes": (
        rename("var", lambda names: [names[1], *names[1:]]),
        {},
        ["adata.var_names", "1 names more than once", "'gene_1'", "~adata.var_names.duplicated()"],
    ),
    "doubled rows": (
        rename("obs", lambda names: [names[1], *names[1:]]),
        {},
        ["adata.obs_names", "'row_1'", "obs_names_make_unique()"],
    ),
    "NaN": (
        put_value(7, 2, np.nan),
        {},
        ["adata.X has 1 values", "NaN", "row 'row_7', gene 'gene_2'", "drop these"],
    ),
    "infinite in a layer": (
        put_value(0, 4, -np.inf, "counts"),
        {"layer": "counts"},
        ["adata.layers['counts'] has 1 values", "row 'row_0', gene 'gene_4'"],
    ),
    "NaN in sparse columns": (sparse_nan, {}, ["1 values", "row 'row_7', gene 'gene_2'"]),
    "NaN everywhere": (
        put_matrix(lambda x: x + np.nan),
        {},
        ["60 values", "row 'row_0', gene 'gene_2'"],
    ),
    "too large for float32": (
        put_matrix(lambda x: x.astype(float) + 1e39),
        {},
        ["60 values", "single precision"],
    ),
    "negative counts": (
        put_value(3, 3, -1),
        {},
        ["adata.X holds whole numbers", "1 of them negative", "-1 for missing"],
    ),
    "text as values": (put_matrix(lambda x: x.astype(str)), {}, ["adata.X", "expected real numb"]),
    "complex values": (put_matrix(lambda x: x * 1j), {}, ["complex64", "expected real numbers"]),
    "object values": (put_matrix(lambda x: x.astype(object)), {}, ["object", "real numbers"]),
    "empty sparse": (
        put_matrix(lambda x: sparse.csr_matrix(x.shape)),
        {},
        ["No gene differs between rows", "all 12 hold the same 5 values"],
    ),
    "masked values": (
        put_matrix(lambda x: np.ma.masked_equal(x, x[0, 0])),
        {},
        ["masked array", "fill or remove"],
    ),
    "missing layer": (same, {"layer": "raw"}, ["layer='raw'", "'counts'", "layer=None"]),
    "no X": (categorical_without_x, {}, ["adata.X is None", "layer=", "counts"]),
    "no domain column": (same, {"batch_keys": []}, ["batch_key names no column"]),
    "missing domain column": (
        same,
        {"batch_keys": ["Cohrt"]},
        ["batch_key='Cohrt' is not a column", "Did you mean 'cohort'?", "label, sex, age"],
    ),
    "missing labels column": (
        same,
        {"labels_key": "zzz"},
        ["labels_key='zzz' is not a column", "Columns: cohort, label"],
    ),
    "missing target column": (same, {"target_keys": ["Age"]}, ["target_keys='Age'", "mean 'age'"]),
    "labels are the domain": (
        same,
        {"labels_key": "cohort"},
        ["'cohort' is given 2 times", "batch_key, labels_key"],
    ),
    "target twice": (
        same,
        {"target_keys": ["age", "age"]},
        ["'age' is given 2 times (target_keys)"],
    ),
    "covariate is a target": (
        same,
        {"target_keys": ["sex"], "categorical_covariate_keys": ["sex"]},
        ["'sex' is given 2 times", "target_keys, categorical_covariate_keys"],
    ),
    "second domain column with one level": (
        put("plate", ["p"] * 12),
        {"batch_keys": ["cohort", "plate"]},
        ["batch_key='plate' has one level, 'p', in all 12 rows", "Leave it out"],
    ),
    "NaN domain": (
        put("cohort", ["a", None, "b"] * 4),
        {},
        ["batch_key='cohort' has 4 missing values in 12 rows"],
    ),
    "domain of fractions": (
        put("cohort", np.linspace(0, 1, 12)),
        {},
        ["batch_key='cohort' is a floating point column with 12 different values", "astype(str)"],
    ),
    "domain categories of fractions": (
        put("cohort", pd.Categorical([0.5, 1.5] * 6)),
        {},
        ["floating point column with 2 different values"],
    ),
    "domain of mixed types": (
        put("cohort", ["a", 1] * 6),
        {},
        ["values of type int, str", "expected text", ".map(str"],
    ),
    "domain of objects": (
        put("cohort", [("a",), ("b",)] * 6),
        {},
        ["batch_key='cohort'", "values of type tuple"],
    ),
    "domain of lists": (put("cohort", [["a"], ["b"]] * 6), {}, ["not names", "unhashable"]),
    "domain with NUL": (put("cohort", ["a\0", "b"] * 6), {}, ["NUL or surrogate", r"a\x00"]),
    "no label": (
        put("label", ["Unknown", None] * 6),
        {},
        ["labels_key='label' labels none of the 12 rows", "unlabeled_category='Unknown'"],
    ),
    "all labels missing": (put("label", np.full(12, np.nan)), {}, ["labels none of the 12 rows"]),
    "one class": (
        put("label", ["x", "Unknown"] * 6),
        {},
        ["one class, 'x'", "unlabeled_category='Unknown'"],
    ),
    "one class, and one with one row": (
        put("label", ["rare", *["x"] * 11]),
        {},
        ["1 of 2 classes have one labelled row: 'rare'", "At least two classes"],
    ),
    "labels are fractions": (
        put("label", np.linspace(0, 1, 12)),
        {},
        ["float64, 12 different values", "Numbers are no classes"],
    ),
    "labels are whole numbers": (
        put("label", np.array([0, 1] * 6)),
        {},
        ["int64, 2 different", "adata.obs['label'].astype(str).astype('category')"],
    ),
    "label categories are numbers": (
        put("label", pd.Categorical([0, 1] * 6)),
        {},
        ["holds numbers (int64", ".astype(str).astype('category')"],
    ),
    "labels are codes with gaps": (
        put("label", np.array([0, 1, np.nan] * 4)),
        {},
        ["float64, 2 different", ".astype('Int64').astype('string').astype('category')"],
    ),
    "labels are true or false": (
        put("label", np.array([True, False] * 6)),
        {},
        ["holds numbers (bool", ".map(str"],
    ),
    "labels of mixed types": (
        put("label", ["x", 1.5] * 6),
        {},
        ["labels_key='label' holds values of type float, str", "1.5, 'x'"],
    ),
    "labels with a surrogate": (
        put("label", ["x\udc80", "y"] * 6),
        {},
        ["labels_key='label'", r"'x\udc80'", "Rename"],
    ),
    "numbers as text": (
        put("label", [str(i) for i in range(12)]),
        {},
        ["12 of 12 classes have one labelled row", "and 7 more", "pandas.to_numeric"],
    ),
    "marker is not text": (
        same,
        {"unlabeled_category": None},
        ["unlabeled_category=None", "NoneType", "expected text"],
    ),
    "infinite target": (
        put("age", np.array([np.inf, np.nan] * 6)),
        {"target_keys": ["age"]},
        ["target_keys='age' has 6 missing and 6 infinite", "no infinite"],
    ),
    "constant target": (
        put("age", np.array([3.0, np.nan] * 6)),
        {"target_keys": ["age"]},
        ["target_keys='age' has 1 different values in 6 rows"],
    ),
    "target with a rare class": (
        put("sex", ["f", *["m"] * 11]),
        {"target_keys": ["sex"]},
        ["target_keys='sex'", "one labelled row: 'f'"],
    ),
    "size factor of 0": (
        put("age", np.arange(12.0)),
        {"size_factor_key": "age"},
        ["size_factor_key='age' has 1 values at or below 0 (smallest 0)"],
    ),
    "size factor with gaps": (
        put("age", np.array([1.0, np.nan] * 6)),
        {"size_factor_key": "age"},
        ["6 missing and 0 infinite values in 12 rows"],
    ),
    "text as size factor": (
        same,
        {"size_factor_key": "sex"},
        ["size_factor_key='sex' has type category", "pandas.to_numeric"],
    ),
    "covariate with gaps": (
        put("age", np.array([1.0, np.nan] * 6)),
        {"continuous_covariate_keys": ["age"]},
        ["continuous_covariate_keys='age' has 6 missing"],
    ),
    "categorical covariate with gaps": (
        put("sex", ["f", None] * 6),
        {"categorical_covariate_keys": ["sex"]},
        ["categorical_covariate_keys='sex' has 6 missing values"],
    ),
}


@pytest.mark.parametrize(("change", "arguments", "fragments"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_and_left_as_it_was(
    sound: AnnData,
    unchanged: Unchanged,
    change: Change,
    arguments: dict[str, Any],
    fragments: list[str],
) -> None:
    changed = change(sound)
    adata = sound if changed is None else changed
    with unchanged(adata), pytest.raises(InputError) as caught:
        check_setup(adata, **SETUP | arguments)
    for fragment in fragments:
        assert fragment in str(caught.value)


ODD: dict[str, tuple[Change, dict[str, Any]]] = {
    "sound": (same, {}),
    "layer": (put_value(0, 0, np.nan), {"layer": "counts"}),
    "layer without X": (categorical_without_x, {"layer": "counts"}),
    "view": (lambda adata: adata[::-1, 1:4], {}),
    "view of rows by name": (lambda adata: adata[[f"row_{i}" for i in (0, 3, 6, 9)]], {}),
    "sparse view": (
        lambda adata: AnnData(sparse.csr_matrix(adata.X), obs=adata.obs, var=adata.var)[:8, 1:],
        {},
    ),
    "csr_matrix": (put_matrix(sparse.csr_matrix), {}),
    "csc_matrix": (put_matrix(sparse.csc_matrix), {}),
    "csr_array": (put_matrix(sparse.csr_array), {}),
    "csc_array": (put_matrix(sparse.csc_array), {}),
    "int": (put_matrix(lambda x: x.astype(int)), {}),
    "uint8": (put_matrix(lambda x: x.astype(np.uint8)), {}),
    "float64": (put_matrix(lambda x: x.astype(np.float64)), {}),
    "float16": (put_matrix(lambda x: x.astype(np.float16)), {}),
    "bool": (put_matrix(lambda x: x > 2), {}),
    "Fortran order": (put_matrix(np.asfortranarray), {}),
    "nothing masked": (put_matrix(np.ma.masked_array), {}),
    "negative fractions": (put_matrix(lambda x: x - 0.5), {}),
    "one gene": (lambda adata: adata[:, :1].copy(), {}),
    "domain of whole numbers": (put("cohort", np.array([3, 7] * 6)), {}),
    "domain of booleans": (put("cohort", np.array([True, False] * 6)), {}),
    "nullable domain": (put("cohort", pd.array([3, 7] * 6, dtype="Int64")), {}),
    "plain text": (put("label", [*ALTERNATE[:6], *["Unknown"] * 6]), {}),
    "string dtype with gaps": (put("label", pd.array(["x", "y", None] * 4, dtype="string")), {}),
    "missing labels": (put("label", pd.Categorical(["x", "y", None] * 4)), {}),
    "ordered labels": (put("label", pd.Categorical(ALTERNATE, ["y", "x"], ordered=True)), {}),
    "slash, unicode and spaces": (put("label", ["CD4/CD8 T", "Zürich β 細胞 🧬"] * 6), {}),
    "no labels": (put("label", [None] * 12), {"labels_key": None}),
    "query without labels": (put("label", ["Unknown"] * 12), {"require_labels": False}),
    "query of one domain": (put("cohort", ["c"] * 12), {"require_domains": False}),
    "no domain wanted": (same, {"batch_keys": [], "require_domains": False}),
    "several domain columns": (same, {"batch_keys": ["cohort", "sex"]}),
    "targets": (same, {"target_keys": ["sex", "age"]}),
    "targets with gaps": (
        put("age", np.array([1, 2, 3, 4, 5, np.nan] * 2)),
        {"target_keys": ["age"]},
    ),
    "nullable target": (
        put("age", pd.array([1, 2, 3, 4, 5, None] * 2, dtype="Int64")),
        {"target_keys": ["age"]},
    ),
    "covariates": (
        same,
        {"categorical_covariate_keys": ["sex"], "continuous_covariate_keys": ["age"]},
    ),
    "size factor": (same, {"size_factor_key": "age"}),
    "unused marker": (
        put("label", pd.Categorical(ALTERNATE, ["x", "y", "Unknown"])),
        {},
    ),
}


@pytest.mark.parametrize(("change", "arguments"), ODD.values(), ids=ODD)
def test_odd_input_is_accepted_silently_and_left_as_it_was(
    sound: AnnData, unchanged: Unchanged, change: Change, arguments: dict[str, Any]
) -> None:
    changed = change(sound)
    adata = sound if changed is None else changed
    with unchanged(adata):
        check_setup(adata, **SETUP | arguments)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("as_view", [False, True])
def test_backed_files_are_checked_on_disk(
    sound: AnnData,
    unchanged: Unchanged,
    tmp_path: Path,
    convert: Callable[[Any], Any],
    as_view: bool,
) -> None:
    matrix = np.array(sound.X)
    sound.X = convert(matrix)
    sound.write_h5ad(tmp_path / "good.h5ad")
    matrix[7, 2] = np.nan
    sound.X = convert(matrix)
    sound.write_h5ad(tmp_path / "bad.h5ad")
    good, bad = (ad.read_h5ad(tmp_path / name, backed="r") for name in ("good.h5ad", "bad.h5ad"))
    if as_view:
        good, bad = (adata[[7, 0, 2, 10, 5, 3, 4, 1]] for adata in (good, bad))
    with unchanged(good):
        check_setup(good, **SETUP)
    with unchanged(bad), pytest.raises(InputError, match="row 'row_7', gene 'gene_2'"):
        check_setup(bad, **SETUP)
    assert good.isbacked
    good.file.close()
    bad.file.close()


def test_unused_categories_are_named_once_for_all_columns(
    sound: AnnData, unchanged: Unchanged
) -> None:
    sound.obs["cohort"] = sound.obs["cohort"].cat.add_categories(["c", "d"])
    sound.obs["label"] = sound.obs["label"].cat.add_categories(["z"])
    with unchanged(sound), pytest.warns(UserWarning, match="left out") as caught:
        check_setup(sound, **SETUP)
    assert [str(warning.message) for warning in caught] == [
        "Categories without a row are left out (cohort: 'c', 'd'; label: 'z')."
    ]


@pytest.mark.parametrize("name", ["nan", "unknown", "", "NA "])
def test_a_class_that_looks_missing_is_pointed_out(sound: AnnData, name: str) -> None:
    sound.obs["label"] = pd.Categorical(["x", "y", name] * 4)
    with pytest.warns(UserWarning, match=f"look like missing labels: {name!r}"):
        check_setup(sound, **SETUP)


def test_warnings_point_at_the_caller_of_the_caller(sound: AnnData) -> None:
    sound.obs["label"] = sound.obs["label"].cat.add_categories(["z"])

    def setup() -> None:
        check_setup(sound, **SETUP)

    with pytest.warns(UserWarning, match="left out") as caught:
        setup()
    assert caught[0].filename == __file__
    assert caught[0].lineno == setup.__code__.co_firstlineno + 4


def test_near_columns_are_suggested_whatever_their_case(sound: AnnData) -> None:
    with pytest.raises(InputError, match="Did you mean 'label'"):
        check_setup(sound, **SETUP | {"labels_key": "LABEL"})
