"""Run statements of SCANVI users one by one, in the names of a model, and sort the outcomes."""

from __future__ import annotations

import ast
import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
import rich.pretty  # noqa: F401  # which scvi-tools uses and leaves to others to import
import scvi
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from scipy import sparse
from scvi.data import synthetic_iid

from domainvi.errors import DomainVIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData

# The one table of names; the documentation shows the same file.
TABLE = Path(__file__).with_name("names.csv")
WORKS, OTHER_NAME, REFUSED = "works", "other name", "refused"
CRASH, DIFFERENT = "crash", "silently different"


class Row(NamedTuple):
    """A line of the table of names."""

    of: str
    scanvi: str
    status: str
    domainvi: str
    remark: str

    @property
    def names(self) -> list[str]:
        """Single names of SCANVI, without what they are arguments of."""
        listed = self.scanvi.rpartition(": ")[2].split(", ")
        return [name.partition("(")[0].partition("=")[0] for name in listed]


def table() -> list[Row]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [Row(**{k.lower(): v for k, v in line.items()}) for line in csv.DictReader(file)]


class Translator(ast.NodeTransformer):
    """Put our names for those of SCANVI, as the table has them."""

    def __init__(self) -> None:
        rows = [row for row in table() if row.status == OTHER_NAME]
        self.by_place = {(row.of, name): row.domainvi for row in rows for name in row.names}
        self.changed = False

    def visit_Call(self, node: ast.Call) -> ast.Call:
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        for keyword in node.keywords:
            ours = self.by_place.get((called, keyword.arg))
            if ours is not None:
                keyword.arg, self.changed = ours, True
        self.generic_visit(node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        ours = self.by_place.get(("history", node.value))
        if ours is None:
            return node
        self.changed = True
        return ast.Constant(ours)


def words(statement: ast.stmt) -> set[str]:
    """Names of arguments, attributes and keys that a statement uses."""
    found: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.keyword):
            found.add(str(node.arg))
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


class Result(NamedTuple):
    """What came of a statement."""

    outcome: str
    block: str
    statement: str
    error: str = ""


def data(n_genes: int = 100, seed: int = 0) -> AnnData:
    scvi.settings.seed = seed
    return synthetic_iid(batch_size=60, n_genes=n_genes)


def must_refuse(errors: type[Exception]) -> Callable[[Callable[[], Any]], None]:
    def refuses(call: Callable[[], Any]) -> None:
        try:
            call()
        except errors:
            return
        msg = "was accepted"
        raise AssertionError(msg)

    return refuses


def run(name: str, block: str, model: type, folder: Path, *, ours: bool) -> Iterator[Result]:
    """Run a block; each statement whatever became of those before it."""
    names = {
        "SCANVI": model, "data": data, "folder": folder, "scvi": scvi, "np": np, "pd": pd,
        "torch": torch, "sparse": sparse, "anndata": anndata, "CSVLogger": CSVLogger,
        "LearningRateMonitor": LearningRateMonitor,
        "refuses": must_refuse(DomainVIError if ours else Exception),
    }  # fmt: skip
    refused = {name for row in table() if row.status == REFUSED for name in row.names}
    for statement in ast.parse(block).body:
        text, translator = ast.unparse(statement), Translator()
        module = ast.Module([translator.visit(statement) if ours else statement], [])
        code = compile(ast.fix_missing_locations(module), name, "exec")
        try:
            exec(code, names)
        except AssertionError as error:
            yield Result(DIFFERENT, name, text, repr(error))
        except DomainVIError as error:
            is_listed = bool(refused & words(statement))
            yield Result(REFUSED if is_listed else CRASH, name, text, repr(error))
        except Exception as error:  # noqa: BLE001  # any is what is counted
            yield Result(CRASH, name, text, repr(error))
        else:
            yield Result(OTHER_NAME if translator.changed else WORKS, name, text)


def counts(results: list[Result]) -> Counter[str]:
    return Counter(result.outcome for result in results)
