"""Schema versions: every released one loads, newer ones are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from domainvi.errors import ModelFileError
from domainvi.io import MIGRATIONS, SCHEMA_VERSION, _manifest, _migrate, read_model, write_model

FIXTURES = Path(__file__).parent / "fixtures"


def test_every_version_has_a_fixture():
    names = {path.name for path in FIXTURES.iterdir()}
    assert names == {f"schema_{version}" for version in range(1, SCHEMA_VERSION + 1)}


def test_migrations_lead_from_the_first_version_to_the_current_one():
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


def test_schema_1_loads(sample, same, tmp_path):
    shutil.copytree(FIXTURES / "schema_1", tmp_path / "copy")
    tensors, metadata = read_model(tmp_path / "copy")
    assert tensors["encoder.weight"].tolist() == [[0.5, -1.0], [2.0, 0.25]]
    assert tensors["step"].dtype == torch.int64
    assert metadata["classes"].tolist() == ["BRCA", "LUAD"]
    assert metadata["best"] == float("inf")


def test_newer_schema(tmp_path):
    write_model(tmp_path / "m", {}, {}, schema_version=7, package_version="3.2.1")
    match = r"schema version 7, written by DomainVI '3\.2\.1'.*reads up to 1\. Upgrade it: pip"
    with pytest.raises(ModelFileError, match=match):
        read_model(tmp_path / "m")
    write_model(tmp_path / "m", {}, {"now": 1}, overwrite=True)
    assert read_model(tmp_path / "m")[1] == {"now": 1}


@pytest.fixture
def schema_three(monkeypatch):
    """A package that has come to schema version 3."""
    for module in (_migrate, _manifest):
        monkeypatch.setattr(module, "SCHEMA_VERSION", 3)


def rename(tensors, metadata):
    return {f"module.{name}": value for name, value in tensors.items()}, metadata


def add(tensors, metadata):
    return tensors, {**metadata, "added": metadata["old"] + 1}


def test_older_schema_takes_every_step(schema_three, monkeypatch, tmp_path):
    monkeypatch.setattr(_migrate, "MIGRATIONS", {1: rename, 2: add})
    write_model(tmp_path / "m", {"x": torch.ones(1)}, {"old": 1}, schema_version=1)
    tensors, metadata = read_model(tmp_path / "m")
    assert list(tensors) == ["module.x"]
    assert metadata == {"old": 1, "added": 2}
    write_model(tmp_path / "n", {"x": torch.ones(1)}, {"old": 1}, schema_version=3)
    assert read_model(tmp_path / "n")[1] == {"old": 1}


def test_step_that_is_missing(schema_three, monkeypatch, tmp_path):
    monkeypatch.setattr(_migrate, "MIGRATIONS", {2: add})
    write_model(tmp_path / "m", {}, {})
    with pytest.raises(ModelFileError, match="schema version 1, which .* no longer reads"):
        read_model(tmp_path / "m")


def test_step_that_fails_on_crafted_metadata(schema_three, monkeypatch, tmp_path):
    monkeypatch.setattr(_migrate, "MIGRATIONS", {1: rename, 2: add})
    for metadata in ({}, {"old": "text"}, {"old": None}):
        write_model(tmp_path / "m", {}, metadata, overwrite=True)
        with pytest.raises(ModelFileError, match="from schema version 2 to 3"):
            read_model(tmp_path / "m")
