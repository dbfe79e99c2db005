"""SIGKILL at random moments of a training with checkpoints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]
N_KILLS = 50


@pytest.fixture
def trainer():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["OMP_NUM_THREADS"] = "1"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", Path(__file__).with_name("trainer_process.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        yield process


def start(process, directory):
    process.stdin.write(f"{directory}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    return int(line)


def finish(process, directory):
    """Train until the end; the hash of the weights, the number of epochs, and the seconds."""
    start(process, directory)
    before = time.monotonic()
    result = process.stdout.readline().split()
    seconds = time.monotonic() - before
    assert process.stdout.readline() == "over 0\n"
    return result, seconds


def kill(process, directory, seconds):
    """Kill a training after some seconds; tell whether it was still running."""
    pid = start(process, directory)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    line = process.stdout.readline()
    if not line.startswith("over"):
        line = process.stdout.readline()
    return line == f"over -{signal.SIGKILL}\n"


def test_fifty_kills_and_the_same_weights(trainer, tmp_path):
    finish(trainer, tmp_path / "warm")
    undisturbed, seconds = finish(trainer, tmp_path / "whole")
    rng = np.random.default_rng(0)
    n_killed, n_with_checkpoint = 0, 0
    for i in range(2 * N_KILLS):
        directory = tmp_path / str(i)
        n_killed += kill(trainer, directory, rng.uniform(0, seconds))
        n_with_checkpoint += directory.exists()
        assert finish(trainer, directory)[0] == undisturbed
        assert sorted(p.suffix for p in directory.iterdir()) == [".json", ".safetensors"]
        if n_killed == N_KILLS:
            break
    assert n_killed == N_KILLS
    assert n_with_checkpoint > N_KILLS / 4, "the kills came before the first checkpoint"


def test_kills_without_end_still_come_to_one(trainer, tmp_path):
    undisturbed, seconds = finish(trainer, tmp_path / "whole")
    rng = np.random.default_rng(1)
    for _ in range(10):
        kill(trainer, tmp_path / "same", rng.uniform(0, seconds))
    assert finish(trainer, tmp_path / "same")[0] == undisturbed
