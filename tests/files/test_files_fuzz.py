"""Files as people send them, in every combination: read, or refused in one sentence."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import domainvi as dv
from domainvi.cli import main

from .writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Change = Callable[[ad.AnnData], object]

N_GENES = 120
# Of 500 combinations the slow suite runs one in so many; 1 runs all, in a quarter of an hour.
STRIDE = 7
QUICK = ["--max-epochs", "1", "--device", "cpu"]


def identifiers(n: int) -> list[str]:
    return [f"ENSG{7 * i + 11:011d}" for i in range(n)]


def cohorts(names: str, n_rows: int, seed: int) -> ad.AnnData:
    """Two classes and cohorts of counts with real names of genes."""
    rng = np.random.default_rng(seed)
    genes = dv.data.cohorts().var_names[:N_GENES]
    label = np.arange(n_rows) % 2
    mean = np.full((n_rows, N_GENES), 20.0)
    mean[:, : N_GENES // 3] *= 1 + label[:, None]
    domain = np.array(list(names))[np.arange(n_rows) // 2 % len(names)]
    obs = pd.DataFrame(
        {"label": np.array(["KIRC", "LUAD"])[label], "cohort": domain},
        index=[f"{names}{i}" for i in range(n_rows)],
    )
    var = pd.DataFrame({"gene_ids": identifiers(N_GENES)}, index=genes)
    return ad.AnnData(rng.poisson(mean).astype(np.float32), obs=obs, var=var)


# --- what may be odd about a file -----------------------------------------------------------------


def renamed(rename: Callable[[list[str]], list[str]], adata: ad.AnnData) -> None:
    adata.var_names = pd.Index(rename(list(adata.var_names)))


def halves(names: list[str]) -> list[str]:
    return [*names[: N_GENES // 2], *identifiers(N_GENES)[N_GENES // 2 :]]


def shuffled(adata: ad.AnnData) -> None:
    adata._inplace_subset_var(np.random.default_rng(0).permutation(adata.n_vars))


def genes(n: int, adata: ad.AnnData) -> None:
    adata._inplace_subset_var(np.arange(n))


NAMES: dict[str, Change] = {
    "as they are": lambda a: None,
    "shuffled": shuffled,
    "lower case": partial(renamed, lambda names: [n.lower() for n in names]),
    "blanks": partial(renamed, lambda names: [f" {n}" for n in names]),
    "positions": partial(renamed, lambda names: [str(i) for i, _ in enumerate(names)]),
    "numbers behind": partial(renamed, lambda names: [f"{n}-1" for n in names]),
    "identifiers": partial(renamed, lambda names: identifiers(len(names))),
    "versions": partial(renamed, lambda names: [f"{i}.3" for i in identifiers(len(names))]),
    "half identifiers": partial(renamed, halves),
    "doubled": partial(renamed, lambda names: [*names[:-5], *names[:5]]),
    "empty": partial(renamed, lambda names: ["", *names[1:]]),
    "mouse": partial(renamed, lambda names: [n.capitalize() for n in names]),
    "a panel": partial(genes, 45),
    "three genes": partial(genes, 3),
}


def labelled(change: Callable[[NDArray[Any]], Any], adata: ad.AnnData) -> None:
    column = pd.Series(change(adata.obs["label"].to_numpy(object)), adata.obs_names)
    # Objects without text are what anndata cannot write.
    adata.obs["label"] = column.astype("category") if column.isna().all() else column


def every(n: int, word: object, label: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.arange(len(label)) % n == 0, word, label)


def categories(label: NDArray[Any]) -> pd.Categorical:
    return pd.Categorical(label, ["none", *sorted(set(label))])


def named(name: str, adata: ad.AnnData) -> None:
    adata.obs[name] = adata.obs.pop("label")


WORDS: dict[str, Change] = {
    "clean": lambda a: None,
    "unassigned": partial(labelled, partial(every, 5, "unassigned")),
    "brackets": partial(labelled, partial(every, 5, "[Not Available]")),
    "empty text": partial(labelled, partial(every, 4, "")),
    "nan": partial(labelled, partial(every, 4, np.nan)),
    "nothing known": partial(labelled, partial(every, 1, "?")),
    "blanks": partial(labelled, partial(every, 3, "KIRC ")),
    "case": partial(labelled, partial(every, 3, "kirc")),
    "one class": partial(labelled, partial(every, 1, "KIRC")),
    "one row": partial(labelled, partial(every, 10**6, "THYM")),
    "codes": partial(labelled, lambda label: (label == "KIRC").astype(float)),
    "whole numbers": partial(labelled, lambda label: (label == "KIRC").astype(int)),
    "truth": partial(labelled, lambda label: label == "KIRC"),
    "unused categories": partial(labelled, categories),
    "slashes": partial(labelled, partial(every, 2, "a/b|c")),
    "signs": partial(labelled, lambda label: np.where(label == "KIRC", "+", "-")),
    "long": partial(labelled, partial(every, 2, "x" * 300)),
    "slash in the column": partial(named, "cell/type"),
    "blank in the column": partial(named, "cell type "),
}


def multiplied(factor: float, adata: ad.AnnData) -> None:
    adata.X = adata.X * np.float32(factor)


def with_value(value: float, adata: ad.AnnData) -> None:
    adata.X[0, 0] = value


def in_raw(adata: ad.AnnData) -> None:
    adata.raw = adata.copy()
    adata.X = np.log1p(adata.X)
    adata.X -= adata.X.mean(axis=0)


def stored(kind: Callable[[Any], Any], adata: ad.AnnData) -> None:
    adata.X = kind(adata.X)


VALUES: dict[str, Change] = {
    "counts": lambda a: None,
    "log": lambda a: stored(np.log1p, a),
    "fractions": partial(multiplied, 1.37),
    "thousands": partial(multiplied, 1000),
    "centred, raw beside": in_raw,
    "negative": partial(with_value, -1.0),
    "nan": partial(with_value, np.nan),
    "infinite": partial(with_value, np.inf),
    "zeros": partial(multiplied, 0),
    "csr": partial(stored, sparse.csr_matrix),
    "csc": partial(stored, sparse.csc_matrix),
    "int64": partial(stored, lambda x: x.astype(np.int64)),
    "float16": partial(stored, lambda x: x.astype(np.float16)),
}
SIZES = (1, 2, 3, 19, 60)
AXES = {"format": [*WRITERS], "names": [*NAMES], "words": [*WORDS], "values": [*VALUES]}


@dataclass(frozen=True)
class Case:
    """One combination, and whether the odd file is the reference."""

    format: str
    names: str
    words: str
    values: str
    n_rows: int
    is_reference: bool


def cases(n: int) -> list[Case]:
    """Draw combinations in which every value of every axis occurs.

    Half of them are odd in two ways at most, since the rest would be refused for one fault alone.
    """
    rng = np.random.default_rng(0)
    out = []
    for i in range(n):
        drawn = {k: str(rng.choice(v)) for k, v in AXES.items()}
        if i % 2:
            plain = rng.permutation([*AXES])[: rng.integers(2, 4)]
            drawn |= {k: AXES[k][0] for k in plain}
        if drawn["words"] == "slash in the column":
            drawn["format"] = "columns.csv"  # anndata's own formats hold no such name
        out.append(Case(**drawn, n_rows=int(rng.choice(SIZES)), is_reference=bool(i % 3 == 0)))
    return out


# --- doors ----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domainvi.data._loaders.MIN_STEPS_PER_EPOCH", 2)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a reference, a query and a model of the reference."""
    folder = tmp_path_factory.mktemp("clean")
    cohorts("ab", 80, 1).write_h5ad(folder / "reference.h5ad")
    cohorts("q", 30, 2).write_h5ad(folder / "query.h5ad")
    columns = ["--labels", "label", "--batch", "cohort"]
    train = ["train", str(folder / "reference.h5ad"), *columns, *QUICK]
    assert main([*train, "-o", str(folder / "model")]) == 0
    return folder


def write(case: Case, folder: Path) -> tuple[Path, str]:
    """Write the file; its path, and the name of the column of labels."""
    adata = cohorts("ab" if case.is_reference else "q", case.n_rows, 3)
    for changes, name in ((VALUES, case.values), (WORDS, case.words), (NAMES, case.names)):
        changes[name](adata)
    path = folder / case.format
    WRITERS[case.format][1](adata, path)
    return path, next(c for c in (*adata.obs, "label") if c != "cohort")


def commands(case: Case, odd: Path, label: str, clean: Path) -> dict[str, list[list[str]]]:
    """What is run on the file, door by door, with outputs beside it."""
    out = odd.parent
    columns = ["--labels", label, "--batch", "cohort"]
    ref, query = (
        (odd, clean / "query.h5ad") if case.is_reference else (clean / "reference.h5ad", odd)
    )
    own = columns if case.is_reference else ["--labels", "label", "--batch", "cohort"]
    transfer = ["transfer", str(ref), str(query), *own, *QUICK, "-o", str(out / "transfer.h5ad")]
    model, trained = clean / "model", []
    if case.is_reference:
        model = out / "model"
        trained = [["train", str(ref), *columns, *QUICK, "-o", str(model)]]
    annotate = ["annotate", str(model), str(query), "-o", str(out / "annotate.h5ad")]
    return {
        "check": [["check", str(odd), *columns]],
        "audit": [["audit", str(odd), *columns]],
        "transfer": [transfer],
        "annotate": [*trained, [*annotate, "--device", "cpu"]],
    }


def run(case: Case, clean: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> Counter[str]:
    """Run one combination through all doors; how often each ended in which status."""
    found: Counter[str] = Counter()
    odd, label = write(case, folder)
    for door, lines in commands(case, odd, label, clean).items():
        for line in lines:
            capsys.readouterr()
            status = main(line)
            said = capsys.readouterr().err
            found[f"{door} {status}"] += 1
            assert status in {0, 2}, (case, line)
            if status == 2:
                sentences = [x for x in said.splitlines() if x.startswith("domainvi: error: ")]
                assert len(sentences) == 1, (case, line, said)
                assert len(sentences[0]) > 40, (case, line, said)
                break
        else:
            output = folder / f"{door}.h5ad"
            if door in {"transfer", "annotate"}:
                n_rows = 30 if case.is_reference else case.n_rows
                again = ad.read_h5ad(output)
                assert again.n_obs == n_rows, case
                assert (
                    f"{'label' if not case.is_reference else label}_pred".replace("/", "|")
                    in again.obs
                ), case
    return found


@pytest.fixture
def quiet() -> Any:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("i", range(6))
def test_files(i: int, clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cases(6)[i], clean, tmp_path, capsys)


def test_every_oddity_occurs() -> None:
    for axis, values in AXES.items():
        assert {getattr(case, axis) for case in cases(500)} == set(values)
        assert len({getattr(case, axis) for case in cases(500)[::STRIDE]}) > len(values) / 2


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_files_at_length(clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found: Counter[str] = Counter()
    for i, case in enumerate(cases(500)[::STRIDE]):
        (tmp_path / str(i)).mkdir()
        found += run(case, clean, tmp_path / str(i), capsys)
    for door, n in {"check": 50, "audit": 3, "transfer": 10, "annotate": 10}.items():
        assert found[f"{door} 0"] >= n, found  # the audit refuses the single cohorts of queries
    for door in ("audit", "transfer", "annotate"):
        assert found[f"{door} 2"] >= 10, found
