"""Seconds until the package is imported, and until the command line has printed its help."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from .measures import Row, row

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = (
    ("import, s", "DomainVI", ("-c", "import domainvi")),
    ("import, s", "scvi-tools", ("-c", "import scvi")),
    ("domainvi --help, s", "DomainVI", ("-m", "domainvi", "--help")),
)


def startup(rounds: int = 5) -> Iterator[Row]:
    """Start new processes in turn, after one of each that fills the caches."""
    for i in range(rounds + 1):
        for measure, method, arguments in CALLS:
            times = process_seconds(arguments)
            if i:
                yield row(measure, "a new process", method, times)


def process_seconds(arguments: tuple[str, ...]) -> tuple[float, float]:
    """Wall and processor time of a Python process."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, timeout=300)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
