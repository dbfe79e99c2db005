"""Count the files and functions of the package that the main calls of a user go through.

A reader who follows ``train`` has to open these files::

    python scripts/trace_calls.py          # the table
    python scripts/trace_calls.py train    # the functions of one call

Small synthetic data on a CPU. Counted are distinct functions, by file and qualified name; nested
functions count, lambdas, comprehensions and the bodies of modules do not.
"""

from __future__ import annotations

import pkgutil
import sys
import threading
import warnings
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import domainvi as dv

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PACKAGE = Path(dv.__file__).parent
KEYS = {"batch_key": "domain", "labels_key": "label"}


@dataclass
class Trace:
    """Functions of the package that a call went through.

    Parameters
    ----------
    functions
        Pairs of a file, relative to the package, and a qualified name.
    """

    functions: set[tuple[str, str]] = field(default_factory=set)

    @property
    def files(self) -> set[str]:
        """Files that hold these functions."""
        return {file for file, _ in self.functions}


def trace(function: Callable[[], Any]) -> Trace:
    """Call a function, and return what it went through, in all threads that it starts."""
    prefix = f"{PACKAGE}/"
    codes = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return Trace(
        {
            (code.co_filename.removeprefix(prefix), code.co_qualname)
            for code in codes
            if code.co_filename.startswith(prefix) and not code.co_name.startswith("<")
        }
    )


def import_all() -> None:
    """Import the whole package, so that no call is charged with what its first import runs."""
    for module in pkgutil.walk_packages(dv.__path__, "domainvi."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


def traces() -> dict[str, Trace]:
    """Trace one call of each kind, in the order in which a user makes them."""
    import_all()
    adata = dv.data.synthetic_cohorts(n_obs=300, n_genes=80, seed=1)
    query = dv.data.synthetic_cohorts(n_obs=100, n_genes=80, seed=2)
    query.obs["domain"] = "elsewhere"
    made: list[dv.DomainVI] = []
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False}
    calls: dict[str, Callable[[], Any]] = {
        "setup_anndata": lambda: dv.DomainVI.setup_anndata(adata, **KEYS),
        "DomainVI": lambda: made.append(dv.DomainVI(adata)),
        "train": lambda: made[0].train(max_epochs=1, **quiet),
        "predict": lambda: made[0].predict(),
        "predict, new cohort": lambda: made[0].predict(query),
        "annotate": lambda: made[0].annotate(adata),
    }
    return {name: trace(call) for name, call in calls.items()}


def main(wanted: str = "") -> None:
    """Print the table, or the functions of one call."""
    found = traces()
    if wanted:
        print(*(f"{file:40s} {name}" for file, name in sorted(found[wanted].functions)), sep="\n")
        return
    print(f"{'call':22s} {'files':>5s} {'functions':>9s} {'subpackages':>11s}")
    for name, t in found.items():
        rooms = {file.partition("/")[0] for file in t.files if "/" in file}
        print(f"{name:22s} {len(t.files):5d} {len(t.functions):9d} {len(rooms):11d}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
