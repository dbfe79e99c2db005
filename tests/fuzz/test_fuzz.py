"""Odd objects get a documented error or a result, and never anything else."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import domainvi as dv
from domainvi.cli import main
from domainvi.errors import InputError

from .strategies import GENES, keys, objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anndata import AnnData

SMALL = {"n_latent": 2, "n_hidden": 4, "n_components": 4}
QUICK = {"max_epochs": 1, "batch_size": 8, "enable_progress_bar": False}
MAX_SECONDS = 10  # of the processor, so that a busy machine is no fault
SETTINGS = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domainvi.data._loaders.MIN_STEPS_PER_EPOCH", 2)


@pytest.fixture(scope="module")
def counts() -> Counter:
    return Counter()


@contextmanager
def outcome(counts: Counter, what: str) -> Iterator[None]:
    """Let refusals pass that come before training, count how it went, and bound the time."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
            counts[what, "success"] += 1
        except InputError:
            counts[what, "refused"] += 1
    assert time.process_time() - start < MAX_SECONDS


def run(adata: AnnData, arguments: dict[str, Any]) -> None:
    dv.DomainVI.setup_anndata(adata, **arguments)
    model = dv.DomainVI(adata, **SMALL)
    model.train(**QUICK)
    target = adata.copy()
    model.annotate(adata)
    p = model.predict(soft=True).to_numpy()
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-4)
    model.predict(target)


def reference() -> dv.DomainVI:
    rng = np.random.default_rng(0)
    n = 60
    adata = dv.data.synthetic_cohorts(n_obs=n, n_genes=40, values="log", seed=1)
    adata = adata[:, : len(GENES)].copy()
    adata.var_names = GENES
    adata.obs["label"] = np.array(["a", "b"])[rng.integers(2, size=n)]
    adata.obs["domain"] = np.array(["x", "y"])[np.arange(n) % 2]
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, **SMALL)
    model.train(**QUICK)
    return model


@pytest.fixture(scope="module")
def model() -> dv.DomainVI:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reference()


def query(model: dv.DomainVI, adata: AnnData) -> None:
    mapped = dv.DomainVI.load_query_data(adata, model)
    mapped.train(**QUICK)
    assert np.isfinite(mapped.predict(soft=True).to_numpy()).all()


@settings(max_examples=25, **SETTINGS)
@given(adata=objects(), arguments=keys())
def test_setup_and_training(counts, adata, arguments) -> None:
    with outcome(counts, "setup"):
        run(adata, arguments)


@settings(max_examples=20, **SETTINGS)
@given(adata=objects(all_genes=True))
def test_queries(counts, model, adata) -> None:
    with outcome(counts, "query"):
        query(model, adata)
    with outcome(counts, "predict"):
        model.annotate(adata)


def transfer(folder: Path, ref: AnnData, adata: AnnData, more: list[str]) -> int | None:
    """Run the command on two objects; None when they cannot be files."""
    files = [folder / "ref.h5ad", folder / "query.h5ad", folder / "out.h5ad"]
    try:
        for path, data in zip(files, (ref, adata), strict=False):
            copy = data.copy()
            copy.obs = copy.obs[["label", "domain"]]
            copy.write_h5ad(path)
    except Exception:  # noqa: BLE001 - what anndata cannot write is no input of a command
        return None
    return main(["transfer", *map(str, files[:2]), "-o", str(files[2]), "--force", *more])


OPTIONS = ["--labels", "label", "--batch", "domain", "--max-epochs", "1", "--device", "cpu"]


def check_transfer(folder: Path, counts: Counter, ref: AnnData, adata: AnnData) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = transfer(folder, ref, adata, OPTIONS)
    counts["transfer", str(status)] += 1
    assert status in {None, 0, 2}
    assert [p for p in folder.iterdir() if p.name.startswith(".")] == []


@settings(max_examples=10, **SETTINGS)
@given(ref=objects(), adata=objects())
def test_transfer(counts, tmp_path, ref, adata) -> None:
    check_transfer(tmp_path, counts, ref, adata)


def test_some_got_through_and_some_did_not(counts) -> None:
    for what in ("setup", "query", "predict"):
        assert counts[what, "success"] > 2
        assert counts[what, "refused"] > 2
    assert counts["transfer", "2"] > 2


@pytest.mark.slow
@settings(max_examples=200, **SETTINGS)
@given(adata=objects(), arguments=keys())
def test_setup_and_training_at_length(counts, adata, arguments) -> None:
    with outcome(counts, "setup"):
        run(adata, arguments)


@pytest.mark.slow
@settings(max_examples=100, **SETTINGS)
@given(adata=objects(all_genes=True))
def test_queries_at_length(counts, model, adata) -> None:
    with outcome(counts, "query"):
        query(model, adata)
    with outcome(counts, "predict"):
        model.annotate(adata)


@pytest.mark.slow
@settings(max_examples=25, **SETTINGS)
@given(data=st.data())
def test_transfer_at_length(counts, tmp_path, data) -> None:
    check_transfer(tmp_path, counts, data.draw(objects()), data.draw(objects()))
