"""Schema versions: a file of today's schema loads for ever, and newer ones are refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from domainvi.errors import ModelFileError
from domainvi.io import read_model, write_model

from .fixtures.make import SCHEMA_1, sample_model


def test_schema_1_loads(same, tmp_path):
    shutil.copytree(SCHEMA_1, tmp_path / "copy")
    tensors, metadata = read_model(tmp_path / "copy")
    assert tensors["encoder.weight"].tolist() == [[0.5, -1.0], [2.0, 0.25]]
    assert tensors["step"].dtype == torch.int64
    assert metadata["classes"].tolist() == ["BRCA", "LUAD"]
    assert metadata["best"] == float("inf")
    assert same(sample_model(), [tensors, metadata])


def test_schema_1_is_what_is_written_today(tmp_path):
    write_model(tmp_path / "m", *sample_model(), package_version="0.1.0")
    written, kept = (
        json.loads((folder / "model.json").read_text()) for folder in (tmp_path / "m", SCHEMA_1)
    )
    assert list(written) == list(kept)
    assert written["metadata"] == kept["metadata"]
    assert written["schema_version"] == 1


def test_newer_schema(tmp_path, resign):
    write_model(tmp_path / "m", {}, {}, package_version="3.2.1")
    resign(tmp_path / "m", schema_version=7)
    match = r"schema version 7, written by DomainVI '3\.2\.1'.*reads up to 1\. Upgrade it: pip"
    with pytest.raises(ModelFileError, match=match):
        read_model(tmp_path / "m")
    write_model(tmp_path / "m", {}, {"now": 1}, overwrite=True)
    assert read_model(tmp_path / "m")[1] == {"now": 1}
