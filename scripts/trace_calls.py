"""Count the files and functions of the package that each call of a user touches.

    python scripts/trace_calls.py

A stranger who follows one call has to open that many files. Two synthetic cohorts of 300 rows and 80
genes, one epoch, on the CPU; a function is counted once, by file and qualified name.
"""

from __future__ import annotations

import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import domainvi as dv

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PACKAGE = str(Path(dv.__file__).parent)


def touched(call: Callable[[], Any]) -> set[tuple[str, str]]:
    """Call something, and return the functions of the package that ran: file and qualified name."""
    found: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE):
            name = code.co_qualname
            # Comprehensions and class bodies are not functions that somebody has to look up.
            if not name.endswith(("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<module>")):
                found.add((code.co_filename.removeprefix(PACKAGE + "/"), name))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def trace() -> dict[str, set[tuple[str, str]]]:
    """Trace the calls of a first session, from setup to annotation."""
    adata = dv.data.synthetic_cohorts(n_obs=300, n_genes=80, seed=1)
    query = dv.data.synthetic_cohorts(n_obs=100, n_genes=80, seed=2)
    query.obs["domain"] = "elsewhere"
    keys = {"batch_key": "domain", "labels_key": "label"}
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    models: list[dv.DomainVI] = []
    calls: dict[str, Callable[[], Any]] = {
        "setup_anndata(adata)": lambda: dv.DomainVI.setup_anndata(adata, **keys),
        "DomainVI(adata)": lambda: models.append(dv.DomainVI(adata)),
        "train(max_epochs=1)": lambda: models[0].train(max_epochs=1, **quiet),
        "predict()": lambda: models[0].predict(),
        "predict(query)": lambda: models[0].predict(query),
        "annotate()": lambda: models[0].annotate(),
        "annotate(query)": lambda: models[0].annotate(query),
    }
    return {name: touched(call) for name, call in calls.items()}


def main() -> None:
    """Print a table."""
    warnings.simplefilter("ignore")
    print(f"{'call':22s} {'files':>5s} {'folders':>7s} {'functions':>9s}")
    for name, found in trace().items():
        files = {file for file, _ in found}
        folders = {file.rpartition("/")[0] for file in files}
        print(f"{name:22s} {len(files):5d} {len(folders):7d} {len(found):9d}")


if __name__ == "__main__":
    main()
