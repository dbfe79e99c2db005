"""Child processes of tests, each with a deadline for itself and for its own children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from subprocess import PIPE
from threading import Timer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MINUTE = 60.0
# Numba's parallel loops, such as scanpy's, set torch to as many threads as they have.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def run_to_end(
    command: Sequence[str | Path],
    *,
    check: bool = False,
    timeout: float = 4 * MINUTE,
    **arguments: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a command, as ``subprocess.run`` does, and return what it wrote, as text.

    A command that takes too long is killed with its children, and fails.
    """
    with started(command, timeout, stdout=PIPE, stderr=PIPE, **arguments) as process:
        out, err = process.communicate()
    done = subprocess.CompletedProcess(list(command), process.returncode, out, err)
    if check:
        assert done.returncode == 0, f"exit status {done.returncode}\n{out}\n{err}"
    return done


@contextmanager
def started(
    command: Sequence[str | Path], timeout: float, **arguments: Any
) -> Iterator[subprocess.Popen[str]]:
    """Run a command while the block runs, and kill it with its children at the deadline.

    Without ``env`` it computes on one thread: beside busy processes, threads wait for each other.
    """
    arguments.setdefault("env", os.environ | ONE_THREAD)
    process = subprocess.Popen(command, text=True, start_new_session=True, **arguments)
    deadline = Timer(timeout, kill_all, [process])
    deadline.start()
    try:
        with process:  # waits for its end
            try:
                yield process
            except BaseException:
                kill_all(process)
                raise
    finally:
        deadline.cancel()


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill a process and those that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def environment(**variables: str | None) -> dict[str, str]:
    """Variables of a child that imports what this process does; ``None`` takes one away."""
    path = os.pathsep.join(filter(None, sys.path))
    given = os.environ | {"PYTHONPATH": path} | variables
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def listening(script: Path, timeout: float = 20 * MINUTE) -> Iterator[subprocess.Popen[str]]:
    """Run a script, one thread, that takes orders on standard input and answers on its output."""
    with started(
        [sys.executable, "-W", "ignore", script],
        timeout,
        stdin=PIPE,
        stdout=PIPE,
        env=environment(**ONE_THREAD),
    ) as process:
        yield process
