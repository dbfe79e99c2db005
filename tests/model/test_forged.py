"""Model directories whose checksums fit and whose description does not."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.documents import edit

import domainvi as dv
from domainvi.errors import ModelFileError

from .conftest import QUIET, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path

MAX_SECONDS, MAX_BYTES = 10, 2**28
JUNK = (
    None, True, -1, 0, 7, 2**40, 2**63, 0.5, "", "x", "y" * 1000, [], {}, [[]], [1, "a"],
    {"__ndarray__": {"dtype": "str999999", "shape": [50], "data": ["a"] * 50}},
)  # fmt: skip
HOSTILE = (
    ("n_latent", 2**40), ("n_hidden", 10**9), ("n_components", 10**12), ("n_layers", 10**9),
    ("n_layers", True), ("n_layers", 0), ("dropout_rate", 52), ("likelihood", "pickle"),
    ("adversary", ["none"]), ("scaling", {}), ("seed", "x"), ("adata", "x"), ("unheard", 1),
)  # fmt: skip


def of_domains() -> dv.DomainVI:
    adata = small_cohorts(n_obs=80, n_genes=60)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    return dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)


def of_factors() -> dv.DisentangledVI:
    adata = dv.data.synthetic_factors(80, 60, seed=1)
    dv.DisentangledVI.setup_anndata(adata, factor_groups=adata.uns["factor_groups"])
    return dv.DisentangledVI(adata, n_hidden=8, n_components=8)


MODELS = {"DomainVI": of_domains, "DisentangledVI": of_factors}


@pytest.fixture(scope="module", params=MODELS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = MODELS[request.param]()
    model.train(max_epochs=1, batch_size=32, **QUIET)
    path = tmp_path_factory.mktemp("forged") / request.param
    model.save(path)
    return path


def forged(saved: Path, target: Path, content: dict[str, Any]) -> Path:
    """Write a model with another description and a checksum that fits."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(saved, target)
    content.pop("checksum", None)
    body = json.dumps(content, separators=(",", ":"))
    content["checksum"] = hashlib.sha256(body.encode()).hexdigest()
    (target / "model.json").write_text(json.dumps(content, separators=(",", ":")))
    return target


def load(path: Path, kind: str) -> bool:
    """Load; tell whether that was refused, in time and without much memory."""
    start, message = time.process_time(), ""
    tracemalloc.start()
    try:
        getattr(dv, kind).load(path)
    except ModelFileError as error:
        message = str(error)
    assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    tracemalloc.stop()
    assert time.process_time() - start < MAX_SECONDS
    assert "\n" not in message
    return bool(message)


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_hostile_parameters(saved: Path, tmp_path: Path, name: str, value: Any) -> None:
    content = json.loads((saved / "model.json").read_text())
    content["metadata"]["parameters"][name] = value
    with pytest.raises(ModelFileError, match="do not fit together"):
        getattr(dv, saved.name).load(forged(saved, tmp_path / "m", content))


@pytest.mark.parametrize("saved", ["DomainVI"], indirect=True)
@pytest.mark.parametrize("n_members", [10**9, -1, 1, None, "five"])
def test_hostile_numbers_of_members(saved: Path, tmp_path: Path, n_members: Any) -> None:
    content = json.loads((saved / "model.json").read_text())
    content["metadata"]["n_members"] = n_members
    with pytest.raises(ModelFileError, match="do not fit together"):
        dv.DomainVI.load(forged(saved, tmp_path / "m", content))


@pytest.mark.parametrize("saved", ["DomainVI"], indirect=True)
def test_a_description_leads_to_no_other_directory(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((saved / "model.json").read_text())
    content["metadata"]["parameters"]["pretrain_from"] = str(saved)
    read = []
    monkeypatch.setattr(dv.DomainVI, "_start_from", lambda _, path: read.append(path))
    with pytest.raises(ModelFileError, match="pretrain_from names another directory"):
        dv.DomainVI.load(forged(saved, tmp_path / "m", content))
    assert not read


def forge(saved: Path, tmp_path: Path, seed: int, n: int) -> int:
    rng = np.random.default_rng(seed)
    n_refused = 0
    for _ in range(n):
        content = json.loads((saved / "model.json").read_text())
        edit(rng, content["metadata"], JUNK)
        n_refused += load(forged(saved, tmp_path / "m", content), saved.name)
    return n_refused


def test_forged_descriptions(saved: Path, tmp_path: Path) -> None:
    assert 10 < forge(saved, tmp_path, seed=0, n=40) < 40


@pytest.mark.slow
def test_forged_descriptions_at_length(saved: Path, tmp_path: Path) -> None:
    assert 100 < forge(saved, tmp_path, seed=1, n=500) < 500
