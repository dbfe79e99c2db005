"""SIGKILL at random moments of a save."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.processes import listening

from domainvi.io import read_model, write_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


@pytest.fixture
def saver():
    with listening(Path(__file__).with_name("saver_process.py")) as process:
        yield process


def save_and_kill(process, mode, directory, seconds):
    process.stdin.write(f"{mode} {directory}\n")
    process.stdin.flush()
    lines = {process.stdout.readline(), process.stdout.readline()}
    (pid,) = lines - {"saving\n"}
    time.sleep(seconds)
    os.kill(int(pid), signal.SIGKILL)
    assert process.stdout.readline() == "dead\n"


def generation_of(directory):
    tensors, metadata = read_model(directory)
    assert set(tensors["x"].tolist()) == {metadata["generation"]}
    return metadata["generation"]


def is_temporary(name):
    return name.startswith(".domainvi-") and name.endswith(".tmp")


def test_fifty_kills_while_overwriting(saver, tmp_path):
    rng = np.random.default_rng(0)
    generations, n_midway = [], 0
    for _ in range(50):
        save_and_kill(saver, "overwrite", tmp_path, rng.uniform(0, 0.2))
        generations.append(generation_of(tmp_path / "model"))
        n_midway += len(list((tmp_path / "model").iterdir())) > 2
    assert max(generations) > 0
    assert n_midway > 0, "no kill met a save midway: the test shows nothing"
    write_model(tmp_path / "model", {"x": torch.zeros(1)}, {"generation": 0}, overwrite=True)
    assert len(list((tmp_path / "model").iterdir())) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_fifty_kills_while_creating(saver, tmp_path):
    rng = np.random.default_rng(1)
    n_models = 0
    for i in range(50):
        folder = tmp_path / str(i)
        folder.mkdir()
        save_and_kill(saver, "create", folder, rng.uniform(0, 0.1))
        models = [p for p in folder.iterdir() if not is_temporary(p.name)]
        assert sorted(generation_of(path) for path in models) == list(range(len(models)))
        n_models += len(models)
    assert n_models > 50
