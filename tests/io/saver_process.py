"""A process that saves without end, to be killed; forks, so that torch is imported once."""

import itertools
import os
import sys
from pathlib import Path

import torch

from domainvi.io import write_model


def save(directory: Path, generation: int) -> None:
    """Save a model whose two files both name their generation."""
    tensors = {"x": torch.full((20_000,), generation)}
    write_model(directory, tensors, {"generation": generation}, overwrite=True)


def save_forever(directory: Path, mode: str) -> None:
    """Overwrite one model, or create one after another."""
    for generation in itertools.count():
        save(directory / (str(generation) if mode == "create" else "model"), generation)
        if generation == 0:
            sys.stdout.write("saving\n")
            sys.stdout.flush()


def main() -> None:
    """Fork a saver for each line on standard input, and wait until it is killed."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        mode, directory = line.rstrip("\n").split(" ", maxsplit=1)
        pid = os.fork()
        if pid == 0:
            save_forever(Path(directory), mode)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        os.waitpid(pid, 0)
        sys.stdout.write("dead\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
