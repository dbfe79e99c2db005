"""All doors against all inputs: what one refuses, no other accepts without a reason."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

import domainvi as dv
from domainvi.cli import main
from domainvi.errors import DomainVIError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad

    Change = Callable[[ad.AnnData], object]
    Door = Callable[[ad.AnnData], object]

COLUMNS = ["--labels", "label", "--batch", "cohort"]
KEYS = {"batch_key": "cohort", "labels_key": "label"}
QUICK = ["--max-epochs", "1", "--device", "cpu"]


class Fault(NamedTuple):
    """What is odd, what every door says of it, and the doors that say less, with the reason.

    ``said`` is in the error, or in what is warned or cautioned of where a door accepts it;
    nothing is said of what may simply be.
    """

    change: Change
    said: str = ""
    refused: bool = True
    accepted_by: tuple[str, ...] = ()
    reason: str = ""


def obs(key: str, value: object, every: int = 1) -> Change:
    def change(adata: ad.AnnData) -> None:
        column = adata.obs[key].astype(object)
        column.iloc[::every] = value
        adata.obs[key] = column

    return change


def values(compute: Callable[[np.ndarray], object]) -> Change:
    return lambda adata: setattr(adata, "X", compute(adata.X))


def at_first(value: float) -> Change:
    return lambda adata: adata.X.__setitem__((0, 0), value)


def twice(axis: str) -> Change:
    def change(adata: ad.AnnData) -> None:
        names = [*getattr(adata, f"{axis}_names")]
        setattr(adata, f"{axis}_names", [*names[:-1], names[0]])

    return change


def numbers(adata: ad.AnnData) -> None:
    adata.obs["label"] = np.arange(adata.n_obs) % 2


def unused(adata: ad.AnnData) -> None:
    adata.obs["label"] = adata.obs["label"].cat.add_categories(["zz"])


def no_values(adata: ad.AnnData) -> None:
    adata.raw = adata.copy()
    adata.X = None


def singles(adata: ad.AnnData) -> None:
    adata.obs["label"] = ["a", "b", *["Unknown"] * (adata.n_obs - 2)]


def positions(adata: ad.AnnData) -> None:
    adata.var_names = [str(i) for i in range(adata.n_vars)]


def first_rows(n: int) -> Change:
    return lambda adata: adata._inplace_subset_obs(np.arange(n))


def first_genes(n: int) -> Change:
    return lambda adata: adata._inplace_subset_var(np.arange(n))


ONE_COHORT = "a reference may be one cohort: what is predicted is another"
A_QUERY = "without labels it can be a query"

# Of data that a model is trained on.
REFERENCES: dict[str, Fault] = {
    "sound": Fault(lambda a: None, refused=False),
    "no such column": Fault(
        lambda a: a.obs.pop("label"),
        "labels_key='label' is not a column",
        True,
        ("check",),
        A_QUERY,
    ),
    "cohorts are missing": Fault(obs("cohort", None, 9), "missing values in 40 rows"),
    "cohorts are fractions": Fault(
        lambda a: a.obs.insert(0, "cohort", a.obs.pop("cohort").cat.codes + 0.5),
        "is a floating point column",
    ),
    "one cohort": Fault(
        obs("cohort", "x"),
        "an audit compares cohorts",
        True,
        ("check", "train", "transfer", "setup_anndata"),
        ONE_COHORT,
    ),
    "labels are numbers": Fault(numbers, "Numbers are no classes"),
    "one class": Fault(obs("label", "a"), "at least two are needed to tell apart"),
    "no label": Fault(
        obs("label", "Unknown"), "labels none of the 40 rows", True, ("check",), A_QUERY
    ),
    "one row a class": Fault(singles, "At least two classes need two or more"),
    "genes twice": Fault(twice("var"), "adata.var_names holds 1 names more than once"),
    "rows twice": Fault(twice("obs"), "adata.obs_names holds 1 names more than once"),
    "NaN": Fault(at_first(np.nan), "1 values that are NaN, infinite or beyond 1e12"),
    "infinite": Fault(at_first(np.inf), "1 values that are NaN, infinite or beyond 1e12"),
    "negative counts": Fault(values(lambda x: -np.ceil(np.abs(x))), "counts cannot be"),
    "values in raw": Fault(
        no_values,
        "adata.raw.to_adata()",
        True,
        ("audit", "tl.audit"),
        "an audit counts classes where there are no values",
    ),
    "no gene differs": Fault(values(lambda x: x * 0 + 1.5), "No gene differs between rows"),
    "no row": Fault(first_rows(0), "adata is empty: 0 rows"),
    "no gene": Fault(first_genes(0), "adata is empty: 40 rows x 0 genes"),
    "a word for missing": Fault(obs("label", "[Not Available]", 9), "look like missing", False),
    "blanks": Fault(obs("label", "a ", 9), "blanks around them", False),
    "one spelling of two": Fault(obs("label", "A", 9), "differ in form only", False),
    "unused categories": Fault(unused, "Categories without a row", False),
    "a class of one row": Fault(obs("label", "c", 40), "one labelled row are set aside", False),
}

# Of data that a saved model is used on.
QUERIES: dict[str, Fault] = {
    "sound": Fault(lambda a: None, refused=False),
    "no cohorts": Fault(lambda a: a.obs.pop("cohort"), refused=False),
    "no labels": Fault(lambda a: a.obs.pop("label"), refused=False),
    "labels of other classes": Fault(obs("label", "other"), refused=False),
    "labels are numbers": Fault(numbers, refused=False),
    "cohorts are missing": Fault(obs("cohort", None, 9), "missing values in 40 rows"),
    "genes twice": Fault(twice("var"), "names more than once"),
    "rows twice": Fault(twice("obs"), "adata.obs_names holds 1 names more than once"),
    "positions": Fault(positions, "positions, not genes"),
    "few genes": Fault(first_genes(4), "adata.var_names has 4 of the 30 reference genes"),
    "no gene": Fault(first_genes(0), "adata is empty: 40 rows x 0 genes"),
    "no row": Fault(first_rows(0), "adata is empty: 0 rows"),
    "NaN": Fault(at_first(np.nan), "1 values that are NaN, infinite or beyond 1e12"),
    "values in raw": Fault(no_values, "adata.raw.to_adata()"),
    "counts": Fault(values(lambda x: np.abs(np.ceil(x * 90))), "scale"),
    "own predictions": Fault(
        lambda a: a.obs.insert(0, "label_pred", "mine"),
        "obs has 'label_pred' already",
        True,
        ("predict", "load_query_data"),
        "nothing is written",
    ),
    "own results": Fault(
        lambda a: a.uns.update(domainvi="mine"),
        "uns has 'domainvi' already",
        True,
        ("predict", "load_query_data"),
        "nothing is written",
    ),
    "five rows": Fault(
        first_rows(5),
        "fewer than 20 rows",
        False,
        ("predict", "load_query_data"),
        "there is no place for a caution",
    ),
    "nothing but zeros": Fault(
        values(lambda x: x * 0),
        "nothing but zeros",
        False,
        ("predict", "load_query_data"),
        "there is no place for a caution",
    ),
}


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domainvi.data._loaders.MIN_STEPS_PER_EPOCH", 2)


def sound(make_adata: Callable[..., ad.AnnData], cohorts: str) -> ad.AnnData:
    adata = make_adata(40, 30, cohorts=tuple(cohorts), hidden=())
    adata.var_names = [f"GEN{i}A" for i in range(30)]
    return adata


def command(*line: object) -> str:
    """Run a command; what it says, on both streams. An error is one of input, or fails the test."""
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        status = main([str(part) for part in line])
    assert status in {0, 2}, said.getvalue()
    if status:
        raise dv.errors.InputError(said.getvalue())
    return said.getvalue()


def in_file(folder: Path, run: Callable[[Path], str]) -> Door:
    def door(adata: ad.AnnData) -> str:
        path = folder / "odd.h5ad"
        adata.write_h5ad(path)
        return run(path)

    return door


def check(path: Path) -> str:
    (facts,) = json.loads(command("check", path, *COLUMNS, "--json"))["files"]
    if facts["refused"]:
        raise dv.errors.InputError(facts["refused"])
    return " ".join(facts["remarks"])


def doors_of_references(folder: Path, query: Path) -> dict[str, Door]:
    out = folder / "out"

    def set_up(adata: ad.AnnData) -> None:
        dv.DomainVI.setup_anndata(adata, **KEYS)

    return {
        "check": in_file(folder, check),
        "audit": in_file(folder, lambda p: command("audit", p, *COLUMNS)),
        "train": in_file(
            folder, lambda p: command("train", p, *COLUMNS, *QUICK, "--force", "-o", out)
        ),
        "transfer": in_file(
            folder,
            lambda p: command(
                "transfer", p, query, *COLUMNS, *QUICK, "--force", "-o", out.with_suffix(".h5ad")
            ),
        ),
        "setup_anndata": set_up,
        "tl.audit": lambda adata: dv.tl.audit_confounding(adata, **KEYS),
    }


def doors_of_queries(folder: Path, reference: Path, saved: Path) -> dict[str, Door]:
    out = folder / "out.h5ad"
    model = dv.DomainVI.load(saved)

    def annotate(adata: ad.AnnData) -> str:
        model.annotate(adata)
        return " ".join(map(str, adata.uns["domainvi"]["cautions"]))

    return {
        "annotate": in_file(
            folder,
            lambda p: command("annotate", saved, p, "--device", "cpu", "--force", "-o", out),
        ),
        "transfer": in_file(
            folder,
            lambda p: command("transfer", reference, p, *COLUMNS, *QUICK, "--force", "-o", out),
        ),
        "model.annotate": annotate,
        "predict": model.predict,
        "load_query_data": lambda adata: dv.DomainVI.load_query_data(adata, model),
    }


def outcome(door: Door, adata: ad.AnnData) -> tuple[bool, str]:
    """Whether a door refuses data, and what it says."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            said = door(adata)
        except DomainVIError as error:
            return True, str(error)
    return False, " ".join([str(said), *(str(w.message) for w in warned)])


def compare(what: str, fault: Fault, doors: dict[str, Door], adata: ad.AnnData) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of anndata, about doubled names
        fault.change(adata)
        found = {name: outcome(door, adata.copy()) for name, door in doors.items()}
    for name, (refused, said) in found.items():
        less = name in fault.accepted_by
        assert refused == (fault.refused and not less), (what, name, said)
        assert less or fault.said in said, (what, name, said)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.mark.slow
@pytest.mark.parametrize("what", REFERENCES)
def test_all_doors_say_the_same_of_a_reference(what: str, made: Path, make_adata) -> None:
    query = made / "query.h5ad"
    if not query.exists():
        sound(make_adata, "q").write_h5ad(query)
    doors = doors_of_references(made, query)
    compare(what, REFERENCES[what], doors, sound(make_adata, "xy"))


@pytest.mark.slow
@pytest.mark.parametrize("what", QUERIES)
def test_all_doors_say_the_same_of_a_query(what: str, made: Path, make_adata) -> None:
    reference, model = made / "reference.h5ad", made / "model"
    if not reference.exists():
        sound(make_adata, "xy").write_h5ad(reference)
        command("train", reference, *COLUMNS, *QUICK, "-o", model)
    doors = doors_of_queries(made, reference, model)
    compare(what, QUERIES[what], doors, sound(make_adata, "q"))


def test_doors_that_accept_more_have_a_reason() -> None:
    for what, fault in {**REFERENCES, **QUERIES}.items():
        assert bool(fault.accepted_by) == bool(fault.reason), what
