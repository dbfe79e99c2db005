"""Every remedy that a message about data names is carried out, and what was refused is accepted."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.data import align_genes, check_likelihood, check_setup, describe_matrix, match_genes
from domainvi.errors import GeneMatchError, InputError, NotTrainedError

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[ad.AnnData], Any]

KEYS = {"batch_keys": ["cohort"], "labels_key": "label"}


def assign(adata: ad.AnnData, key: str, value: Any, where: Any = slice(None)) -> None:
    column = adata.obs[key].astype(object) if key in adata.obs else pd.Series(None, adata.obs_names)
    column = column.astype(object)
    column.iloc[where] = value
    adata.obs[key] = column


def convert(adata: ad.AnnData, key: str, code: str) -> None:
    adata.obs[key] = eval(f"column{code}", {"column": adata.obs[key]})


def rows(adata: ad.AnnData, kept: Any) -> None:
    adata._inplace_subset_obs(np.asarray(kept))


def names(adata: ad.AnnData, axis: str, values: Any) -> None:
    setattr(adata, f"{axis}_names", values)


def values(adata: ad.AnnData, x: Any) -> None:
    adata.X = x


# What is wrong, what the message says (its remedy in it), and the remedy, carried out.
FAULTS: list[tuple[str, Step, str, Step]] = [
    (
        "a cohort is missing, filled",
        lambda a: assign(a, "cohort", None, slice(3)),
        "Fill them, or drop these rows",
        lambda a: assign(a, "cohort", "x", slice(3)),
    ),
    (
        "a cohort is missing, dropped",
        lambda a: assign(a, "cohort", None, slice(3)),
        "Fill them, or drop these rows",
        lambda a: rows(a, np.arange(3, a.n_obs)),
    ),
    (
        "cohorts are fractions",
        lambda a: (
            assign(a, "cohort", np.arange(a.n_obs) % 2 + 1.0)
            or convert(a, "cohort", ".astype(float)")
        ),
        ".astype(int).astype(str).astype('category')",
        lambda a: convert(a, "cohort", ".astype(int).astype(str).astype('category')"),
    ),
    (
        "labels are whole numbers",
        lambda a: assign(a, "label", np.arange(a.n_obs) % 2) or convert(a, "label", ".astype(int)"),
        "adata.obs['label'].astype(str).astype('category')",
        lambda a: convert(a, "label", ".astype(str).astype('category')"),
    ),
    (
        "labels are numbers with gaps",
        lambda a: (
            assign(a, "label", np.where(np.arange(a.n_obs) % 3, np.arange(a.n_obs) % 2, np.nan))
            or convert(a, "label", ".astype(float)")
        ),
        "adata.obs['label'].astype('Int64').astype('string').astype('category')",
        lambda a: convert(a, "label", ".astype('Int64').astype('string').astype('category')"),
    ),
    (
        "labels mix types",
        lambda a: assign(a, "label", 3, slice(0, None, 4)),
        ".map(str, na_action='ignore').astype('category')",
        lambda a: convert(a, "label", ".map(str, na_action='ignore').astype('category')"),
    ),
    (
        "labels are bytes",
        lambda a: assign(a, "label", [str(x).encode() for x in a.obs["truth"]]),
        "isinstance(x, bytes)",
        lambda a: convert(
            a,
            "label",
            ".map(lambda x: x.decode() if isinstance(x, bytes) else x).astype('category')",
        ),
    ),
    (
        "a name that h5ad cannot hold",
        lambda a: assign(a, "label", "a\0b", slice(0, None, 4)),
        "Rename them",
        lambda a: assign(a, "label", "a", slice(0, None, 4)),
    ),
    (
        "no label",
        lambda a: assign(a, "label", "Unknown"),
        "Label some rows",
        lambda a: assign(a, "label", list(a.obs["truth"][:40]), slice(40)),
    ),
    (
        "one class",
        lambda a: assign(a, "label", "a"),
        "at least two are needed",
        lambda a: assign(a, "label", list(a.obs["truth"])),
    ),
    (
        "one row a class, more labelled",
        lambda a: (
            assign(a, "label", None) or assign(a, "label", list(a.obs["truth"][:2]), slice(2))
        ),
        "label more rows, or merge classes",
        lambda a: assign(a, "label", list(a.obs["truth"][:4]), slice(4)),
    ),
    (
        "columns stand twice",
        lambda a: setattr(a, "obs", pd.concat([a.obs, a.obs[["cohort"]]], axis=1)),
        "adata.obs.loc[:, ~adata.obs.columns.duplicated()].copy()",
        lambda a: setattr(a, "obs", a.obs.loc[:, ~a.obs.columns.duplicated()].copy()),
    ),
    (
        "genes stand twice",
        lambda a: names(a, "var", [*a.var_names[:-1], a.var_names[0]]),
        "~adata.var_names.duplicated()",
        lambda a: a._inplace_subset_var(~a.var_names.duplicated()),
    ),
    (
        "rows stand twice",
        lambda a: names(a, "obs", [*a.obs_names[:-1], a.obs_names[0]]),
        "obs_names_make_unique",
        lambda a: a.obs_names_make_unique(),
    ),
    (
        "NaN, filled",
        lambda a: a.X.__setitem__((0, 0), np.nan),
        "Fill them, or drop these rows or genes",
        lambda a: a.X.__setitem__((0, 0), 0.0),
    ),
    (
        "NaN, gene dropped",
        lambda a: a.X.__setitem__((0, 0), np.nan),
        "Fill them, or drop these rows or genes",
        lambda a: a._inplace_subset_var(np.arange(1, a.n_vars)),
    ),
    (
        "negative codes",
        lambda a: values(
            a, np.where(np.arange(a.X.size).reshape(a.shape) % 9, np.round(np.abs(a.X)), -1)
        ),
        "Replace codes such as -1",
        lambda a: values(a, np.maximum(a.X, 0)),
    ),
    (
        "infinite, row dropped",
        lambda a: a.X.__setitem__((0, 0), np.inf),
        "Fill them, or drop these rows or genes",
        lambda a: rows(a, np.arange(1, a.n_obs)),
    ),
    (
        "no X",
        lambda a: a.layers.__setitem__("log", a.X.copy()) or values(a, None),
        "pass layer=. Layers: 'log'",
        lambda a: values(a, a.layers["log"]),
    ),
    (
        "values in raw only",
        lambda a: setattr(a, "raw", a.copy()) or values(a, None),
        "adata.raw.to_adata()",
        lambda a: values(a, a.raw.to_adata().X),
    ),
]


# Of the messages whose advice the other tests of this file take.
TAKEN = (
    "Use pandas.to_numeric",
    "Leave the target out",
    "Name the genes of both",
    "pass layer=. Layers: ",
    "Use likelihood='normal'",
    "such as model.predict(adata.copy())",
    "names more than once, for instance",
    "replace it with overwrite=True",
    ".setup_anndata(adata, ...) first",
    "Call model.train() first",
    "Add them, or use predict, annotate",
    "Use load_query_data(adata, model) and train",
    "expected a list of column names",
    "each column can have one role",
)


@pytest.mark.parametrize(("what", "spoil", "said", "mend"), FAULTS, ids=[f[0] for f in FAULTS])
def test_what_is_advised_is_accepted(
    make_adata: Callable[..., ad.AnnData], what: str, spoil: Step, said: str, mend: Step
) -> None:
    adata = make_adata(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spoil(adata)
        with pytest.raises(InputError, match=re.escape(said)):
            check_setup(adata, **KEYS)
        mend(adata)
        check_setup(adata, **KEYS)


@pytest.mark.parametrize(
    ("keys", "said", "instead"),
    [
        ({"labels_key": "lable"}, "Did you mean 'label'", {"labels_key": "label"}),
        ({"labels_key": "cohort"}, "each column can have one role", {"labels_key": "label"}),
        ({"layer": "counts"}, "layer=None uses adata.X", {"layer": None}),
        ({"batch_keys": []}, "says which cohort a row is", {"batch_keys": ["cohort"]}),
        ({"unlabeled_category": None}, "expected text", {"unlabeled_category": "Unknown"}),
        (
            {"categorical_covariate_keys": "sex"},
            "expected a list of column names",
            {"categorical_covariate_keys": ["sex"]},
        ),
        ({"target_keys": ["constant"]}, "at least two are needed", {"target_keys": ["age"]}),
        ({"target_keys": ["few"]}, "Leave the target out", {"target_keys": None}),
        ({"size_factor_key": "sex"}, "Use pandas.to_numeric", {"size_factor_key": "age"}),
        ({"size_factor_key": "few"}, "Fill them", {"size_factor_key": "age"}),
    ],
)
def test_arguments_advised_are_accepted(
    make_adata: Callable[..., ad.AnnData], keys: dict, said: str, instead: dict
) -> None:
    adata = make_adata(60)
    adata.obs["sex"] = np.where(np.arange(60) % 3, "f", "m")
    adata.obs["age"] = np.arange(60) + 20.0
    adata.obs["constant"] = 3.0
    adata.obs["few"] = np.where(np.arange(60) < 3, np.arange(60), np.nan)
    with pytest.raises(InputError, match=re.escape(said)):
        check_setup(adata, **KEYS | keys)
    check_setup(adata, **KEYS | keys | instead)


def test_likelihood_that_is_advised_fits() -> None:
    logs = describe_matrix(np.array([[0.5, 3.2], [1.0, 0.0]]))
    with pytest.raises(InputError, match="Use likelihood='normal'"):
        check_likelihood(logs, "nb")
    assert check_likelihood(logs, "normal") == "normal"


def test_genes_are_named_as_advised() -> None:
    positions = [str(i) for i in range(4)]
    var = pd.DataFrame({"symbol": ["TP53", "MYC", "EGFR", "KIT"]}, index=positions)
    with pytest.raises(GeneMatchError, match=r"Name the genes of both.*adata.var\['symbol'\]"):
        match_genes(var, positions)
    assert align_genes(var["symbol"], ["MYC", "KIT"]).source.tolist() == [1, 3]
    with pytest.warns(UserWarning, match="not unique"):
        doubled = ad.AnnData(np.zeros((2, 3)), var=pd.DataFrame(index=["a1", "b1", "a1"]))
    with pytest.raises(InputError, match=r"~adata.var_names.duplicated\(\)"):
        align_genes(doubled.var_names, ["a1"])
    kept = doubled[:, ~doubled.var_names.duplicated()].copy()
    assert align_genes(kept.var_names, ["b1"]).source.tolist() == [1]


def test_model_is_used_as_advised(make_adata: Callable[..., ad.AnnData]) -> None:
    adata = make_adata(60, counts=True)
    with pytest.raises(InputError, match=r"Call DomainVI.setup_anndata\(adata, ...\) first"):
        dv.DomainVI(adata)
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)
    with pytest.raises(NotTrainedError, match=r"Call model.train\(\) first"):
        model.predict()
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    assert len(model.predict()) == 60
    adata.X[:] = adata.X[::-1].copy()
    with pytest.raises(InputError, match=r"model.predict\(adata.copy\(\)\)"):
        model.predict()
    assert len(model.predict(adata.copy())) == 60
    adata.obs["label_pred"] = "mine"
    fresh = adata.copy()
    with pytest.raises(InputError, match="overwrite=True"):
        model.annotate(fresh)
    model.annotate(fresh, overwrite=True)
    assert set(fresh.obs["label_pred"]) <= {"a", "b"}
    with pytest.raises(InputError, match="lack 3 of 20 genes .* this method needs all"):
        model.get_normalized_expression(adata[:, :-3].copy())
    assert len(model.predict(adata[:, :-3].copy())) == 60
    other = adata.copy()
    other.obs["cohort"] = "z"
    with pytest.raises(InputError, match="60 of 60 rows .* Use load_query_data"):
        model.get_normalized_expression(other)
    query = dv.DomainVI.load_query_data(other, model)
    query.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    assert query.get_normalized_expression().shape == other.shape
