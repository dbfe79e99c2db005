"""Model directories whose checksums fit and whose description does not."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import tracemalloc
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.documents import edit

import domainvi as dv
from domainvi.errors import ModelFileError
from domainvi.io import read_model, write_model
from domainvi.model import _domainvi
from domainvi.model._fitted import Fitted

from .conftest import QUIET, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path

IN_TENSORS = ("centring", "unknown", "phenotype_unknown", "sets", "row_ids")
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


def of_phenotypes() -> dv.DomainVI:
    adata = small_cohorts(n_obs=80, n_genes=60)
    adata.obs["sex"], adata.obs["age"] = ["f", "m"] * 40, np.arange(80.0)
    keys = ["sex", "age"]
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label", target_keys=keys)
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)
    model.pretrain(max_epochs=1, **QUIET)
    return model


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
    for forgery in (n_members, {}, {"expression": n_members}, {"rna": 5}):
        content["metadata"]["fitted"]["n_members"] = forgery
        with pytest.raises(ModelFileError, match="do not fit together"):
            dv.DomainVI.load(forged(saved, tmp_path / "m", content))


@pytest.mark.parametrize("saved", ["DomainVI"], indirect=True)
def test_a_description_leads_to_no_other_directory(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((saved / "model.json").read_text())
    content["metadata"]["parameters"]["pretrain_from"] = str(saved)
    read = []
    monkeypatch.setattr(_domainvi, "start_from", lambda _, path: read.append(path))
    with pytest.raises(ModelFileError, match="pretrain_from names another directory"):
        dv.DomainVI.load(forged(saved, tmp_path / "m", content))
    assert not read


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with auxiliary phenotypes and a pretrained encoder."""
    model = of_phenotypes()
    model.train(max_epochs=1, batch_size=32, **QUIET)
    path = tmp_path_factory.mktemp("forged") / "rich"
    model.save(path)
    return path


@pytest.mark.parametrize("name", [f.name for f in fields(Fitted) if f.name not in IN_TENSORS])
def test_parts_of_the_fitted_state(rich: Path, tmp_path: Path, name: str) -> None:
    content = json.loads((rich / "model.json").read_text())
    fitted = content["metadata"]["fitted"]
    kind, n_refused = type(fitted.pop(name)), 0
    with pytest.raises(ModelFileError, match="do not fit together"):
        dv.DomainVI.load(forged(rich, tmp_path / "m", content))
    for junk in JUNK:
        fitted[name] = junk
        refused = load(forged(rich, tmp_path / "m", content), "DomainVI")
        assert refused or type(junk) in (kind, type(None), dict) or junk in (7, 0.5)
        n_refused += refused
    assert n_refused > len(JUNK) / 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("calibration",), {"one": {"temperature": 1.0}}),
        (("calibration",), {"-1": {"temperature": 1.0}}),
        (("calibration",), {"1": {"temperature": 1.0}}),
        (("calibration", "0", "temperature"), 0.0),
        (("calibration", "0", "temperature"), "warm"),
        (("order", "classes"), ["class_0"]),
        (("order", "colors"), ["#ffffff"]),
        (("order", "colors"), None),
        (("order", "more"), []),
        (("phenotype_order",), {}),
        (("phenotype_order", "sex", "classes"), ["f", "x"]),
        (("phenotype_order", "sex", "colors"), [1, 2]),
        (("agreement",), True),
        (("n_reference_domains",), True),
        (("n_reference_domains",), -1),
        (("n_reference_domains",), 3),
        (("guard", "row_wise_share"), "much"),
        (("audit", "nested"), 7),
        (("audit", "classes"), None),
        (("pretraining", "history"), []),
        (("pretraining", "history", "pretraining_loss"), 1.0),
        (("pretraining", "settings", "speed"), 1.0),
        (("pretraining", "source"), "x"),
    ],
)
def test_damage_to_the_fitted_state(rich: Path, tmp_path: Path, path: tuple, value: Any) -> None:
    content = json.loads((rich / "model.json").read_text())
    *holders, last = path
    place = content["metadata"]["fitted"]
    for key in holders:
        place = place[key]
    assert place.get(last) is not value
    place[last] = value
    with pytest.raises(ModelFileError, match="do not fit together"):
        dv.DomainVI.load(forged(rich, tmp_path / "m", content))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("training_row_ids", None),
        ("centring.shift", None),
        ("centring.means", None),
        ("unknown.0.calibration", None),
        ("unknown.0.calibration", "unknown.one.calibration"),
        ("unknown.0.calibration", "unknown.1.calibration"),
        ("phenotype_unknown.0.calibration", "phenotype_unknown.sex.calibration"),
        ("phenotype_unknown.0.calibration", "phenotype_unknown.9.calibration"),
    ],
)
def test_arrays_of_the_fitted_state(
    rich: Path, tmp_path: Path, name: str, other: str | None
) -> None:
    tensors, metadata = read_model(rich)
    array = tensors.pop(name)
    if other is not None:
        tensors[other] = array
    write_model(tmp_path / "m", tensors, metadata, package_version="0")
    with pytest.raises(ModelFileError, match="do not fit together"):
        dv.DomainVI.load(tmp_path / "m")


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
