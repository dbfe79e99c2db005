"""Sample models, comparison, and re-signing of crafted ones."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from domainvi.io import write_model

if TYPE_CHECKING:
    from pathlib import Path


def _same(left, right) -> bool:
    if isinstance(left, np.ndarray):
        return (
            isinstance(right, np.ndarray)
            and left.dtype == right.dtype
            and left.shape == right.shape
            and all(map(_same, left.reshape(-1).tolist(), right.reshape(-1).tolist()))
        )
    if isinstance(left, torch.Tensor):
        return (
            isinstance(right, torch.Tensor)
            and left.dtype == right.dtype
            and left.shape == right.shape
            and left.contiguous().view(-1).view(torch.uint8).tolist()
            == right.contiguous().view(-1).view(torch.uint8).tolist()
        )
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and list(left) == list(right)
            and all(_same(left[key], right[key]) for key in left)
        )
    if isinstance(left, list | tuple):
        return isinstance(right, list) and len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, float) and left != left:
        return isinstance(right, float) and right != right
    return type(left) is type(right) and left == right


@pytest.fixture(scope="session")
def same():
    """Exact equality of values, types, dtypes, shapes and the order of keys; NaN equals NaN."""
    return _same


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "encoder.weight": torch.randn(7, 5, generator=generator),
        "encoder.bias": torch.zeros(7),
        "step": torch.tensor(12),
        "mask": torch.tensor([True, False, True]),
    }
    metadata = {
        "classes": np.array(["BRCA", "LUAD", None], dtype=object),
        "genes": ["TP53", "EGFR", "KRAS"],
        "n_latent": 7,
        "history": {"elbo": np.array([3.5, np.nan, 1.25]), "best": float("-inf")},
    }
    return tensors, metadata


@pytest.fixture
def saved(sample, tmp_path) -> Path:
    """A model on the disk."""
    write_model(tmp_path / "model", *sample, package_version="0.1.0")
    return tmp_path / "model"


def _resign(directory: Path, weights: bytes | None = None, **changes) -> None:
    """Change a model as an attacker would: with checksums and names that fit."""
    manifest = directory / "model.json"
    content = json.loads(manifest.read_text())
    if weights is not None:
        for old in directory.glob("weights-*"):
            old.unlink()
        digest = hashlib.sha256(weights).hexdigest()
        name = f"weights-{digest[:16]}.safetensors"
        (directory / name).write_bytes(weights)
        content["files"] = {name: {"sha256": digest, "bytes": len(weights)}}
    content |= changes
    content.pop("checksum", None)
    body = json.dumps(content, separators=(",", ":"))
    content["checksum"] = hashlib.sha256(body.encode()).hexdigest()
    manifest.write_text(json.dumps(content, separators=(",", ":")))


@pytest.fixture(scope="session")
def resign():
    return _resign


def _weights(header, data: bytes = b"") -> bytes:
    """Bytes of a safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.fixture(scope="session")
def craft_weights():
    return _weights
