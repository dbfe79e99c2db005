"""SIGKILL at random moments of a training with checkpoints."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.processes import listening

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]
N_KILLS = 8


@pytest.fixture(scope="module")
def trainer():
    with listening(Path(__file__).with_name("trainer_process.py")) as process:
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
    result = process.stdout.readline()
    seconds = time.monotonic() - before
    assert not result.startswith("over"), "the training failed: see standard error"
    assert process.stdout.readline() == "over 0\n"
    return result, seconds


def kill(process, directory, seconds):
    """Kill a training after some seconds; tell whether it was still running."""
    pid = start(process, directory)
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    line = process.stdout.readline()
    if not line.startswith("over"):
        line = process.stdout.readline()
    return line == f"over -{signal.SIGKILL}\n"


@pytest.fixture(scope="module")
def undisturbed(trainer, tmp_path_factory):
    """Hash and epochs of a training that nothing disturbs, and how long it takes."""
    return finish(trainer, tmp_path_factory.mktemp("whole") / "c")


@pytest.mark.parametrize("seed", range(3))
def test_kills_and_the_same_weights(trainer, undisturbed, tmp_path, seed):
    expected, seconds = undisturbed
    rng = np.random.default_rng(seed)
    n_killed, n_with_checkpoint = 0, 0
    # Beside a busy process a training takes longer than the one that was timed, or shorter.
    for i in range(6 * N_KILLS):
        directory = tmp_path / str(i)
        n_killed += kill(trainer, directory, rng.uniform(0, 1.3 * seconds))
        n_with_checkpoint += directory.exists()
        assert finish(trainer, directory)[0] == expected
        assert sorted(p.suffix for p in directory.iterdir()) == [".json", ".safetensors"]
        if n_killed == N_KILLS:
            break
    assert n_killed == N_KILLS
    assert n_with_checkpoint > 1, "the kills came before the first checkpoint"


def test_kills_without_end_still_come_to_one(trainer, undisturbed, tmp_path):
    expected, seconds = undisturbed
    rng = np.random.default_rng(3)
    for _ in range(10):
        kill(trainer, tmp_path / "same", rng.uniform(0, seconds))
    assert finish(trainer, tmp_path / "same")[0] == expected
