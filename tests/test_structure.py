"""The structure of the package: sizes, imports between subpackages, classes, and where things are.

Read from the source, without running it, but for the two calls that are traced.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import io
import re
import sys
import tokenize
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import domainvi as dv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "domainvi"
if not SOURCE.is_dir():
    pytest.skip("the source stands in the repository only", allow_module_level=True)

MAX_CODE_LINES = 250
FACADES = {
    "model/_base.py",
    "model/_domainvi.py",
    "disentangled/_model.py",
    "disentangled/_disentangledvi.py",
}
MAX_FILES = 16
MAX_LINES, MAX_TOTAL_CODE_LINES = 33_070, 20_475
MAX_OWN_CLASSES = 2
# Pairs of subpackages that may import each other, with the reason.
ALLOWED_CYCLES: dict[frozenset[str], str] = {}
# As many as were reached, so that they do not grow; 160 functions in 35 files would be good.
MAX_TRAIN_FILES, MAX_TRAIN_FUNCTIONS, MAX_PREDICT_FILES = 43, 272, 16
QUESTIONS = {"guard", "domain loss", "h5ad keys", "co-training", "calibration", "query"}


# --- reading the source ---------------------------------------------------------------------------


class Import(NamedTuple):
    """One imported module, by its absolute name, and whether it is imported when the code runs."""

    file: str
    line: int
    module: str
    at_runtime: bool


@cache
def sources() -> dict[str, str]:
    """Text of each file, by its path below the package."""
    return {p.relative_to(SOURCE).as_posix(): p.read_text("utf-8") for p in SOURCE.rglob("*.py")}


@cache
def tree(file: str) -> ast.Module:
    return ast.parse(sources()[file])


def docstring_lines(module: ast.Module) -> set[int]:
    lines: set[int] = set()
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(module):
        if isinstance(node, owners) and ast.get_docstring(node, clean=False) is not None:
            string = node.body[0]
            lines.update(range(string.lineno, (string.end_lineno or string.lineno) + 1))
    return lines


@cache
def n_code_lines(file: str) -> int:
    """Lines that hold code: neither blank, nor a comment alone, nor part of a docstring."""
    layout = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(sources()[file]).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(tree(file)))


def imports(file: str) -> Iterator[Import]:
    """Modules of the package that a file imports, also inside of functions."""
    package = ["domainvi", *Path(file).parent.parts]
    only_types = {
        id(inner)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree(file)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            # `from . import x` and `from domainvi import x` may import a module.
            names = [with_module(base, alias.name) for alias in node.names]
        for name in names:
            if name.split(".")[0] == "domainvi":
                yield Import(file, node.lineno, name, id(node) not in only_types)


def with_module(base: str, name: str) -> str:
    """The module that ``from base import name`` reads: ``base.name`` if that is one."""
    path = SOURCE.joinpath(*base.split(".")[1:], name)
    is_module = path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
    return f"{base}.{name}" if base.split(".")[0] == "domainvi" and is_module else base


def subpackage(file_or_module: str) -> str:
    """The folder of a file, or that of a module; empty for what lies at the top."""
    if file_or_module.endswith(".py"):
        return file_or_module.partition("/")[0] if "/" in file_or_module else ""
    parts = file_or_module.split(".")
    return parts[1] if len(parts) > 1 and (SOURCE / parts[1]).is_dir() else ""


def all_imports() -> list[Import]:
    return [found for file in sources() for found in imports(file)]


# --- sizes ----------------------------------------------------------------------------------------


def test_files_are_short() -> None:
    sizes = {file: n_code_lines(file) for file in sources() if file not in FACADES}
    assert {file: n for file, n in sizes.items() if n > MAX_CODE_LINES} == {}


def test_folders_are_small() -> None:
    folders: dict[str, int] = defaultdict(int)
    for file in sources():
        folders[Path(file).parent.as_posix()] += 1
    assert {folder: n for folder, n in folders.items() if n > MAX_FILES} == {}


def test_the_package_does_not_grow() -> None:
    n_lines = sum(len(text.splitlines()) for text in sources().values())
    assert n_lines <= MAX_LINES


def test_its_code_does_not_grow() -> None:
    assert sum(n_code_lines(file) for file in sources()) <= MAX_TOTAL_CODE_LINES


def test_every_file_says_what_it_is_for() -> None:
    first = {file: (ast.get_docstring(tree(file)) or "").split("\n")[0] for file in sources()}
    assert [file for file, line in first.items() if len(line) < 20 or line[:5] == "What "] == []


# --- classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [dv.DomainVI, dv.DisentangledVI])
def test_a_model_is_one_class_on_one_base(model: type) -> None:
    own = [c.__name__ for c in model.__mro__ if c.__module__.startswith("domainvi")]
    assert len(own) <= MAX_OWN_CLASSES, own


@pytest.mark.parametrize("model", [dv.DomainVI, dv.DisentangledVI])
def test_no_method_goes_on_in_a_base_of_our_own(model: type) -> None:
    own = [c for c in model.__mro__ if c.__module__.startswith("domainvi")]
    shared = {name for c in own[1:] for name in vars(c)} - {"__init__"}
    methods = {n: m for n, m in vars(model).items() if n in shared and inspect.isfunction(m)}
    assert [n for n, m in methods.items() if "super()" in inspect.getsource(m)] == []


def test_there_are_no_mixins_of_our_own() -> None:
    classes = [
        f"{file}: {node.name}"
        for file in sources()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name in classes if name.endswith("Mixin")] == []


# --- imports --------------------------------------------------------------------------------------


def test_no_private_file_of_another_subpackage_is_imported() -> None:
    private = [
        f"{i.file}:{i.line} imports {i.module}"
        for i in all_imports()
        if subpackage(i.module) not in ("", subpackage(i.file))
        and any(part[0] == "_" for part in i.module.split(".")[2:])
    ]
    assert private == []


def test_subpackages_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for i in all_imports():
        here, there = subpackage(i.file), subpackage(i.module)
        if i.at_runtime and here and there and here != there:
            graph[here].add(there)
    circles = {
        frozenset({a, b}) for a in graph for b in reachable(graph, a) if a in reachable(graph, b)
    }
    assert {c for c in circles if len(c) == 2} - set(ALLOWED_CYCLES) == set()


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        for name in graph.get(todo.pop(), set()) - found:
            found.add(name)
            todo.append(name)
    return found


def test_reading_of_imports() -> None:
    """The functions above see what they are meant to see."""
    assert subpackage("model/_domainvi.py") == "model"
    assert subpackage("errors.py") == subpackage("domainvi.errors") == subpackage("domainvi") == ""
    assert subpackage("domainvi.train") == "train"
    assert reachable({"a": {"b"}, "b": {"c"}}, "a") == {"b", "c"}
    modules = {i.module for i in imports("model/__init__.py")}
    assert modules
    assert all(m.startswith("domainvi.") for m in modules)


# --- what a call goes through ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "trace_calls.py"
    spec = importlib.util.spec_from_file_location("trace_calls", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["trace_calls"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
def test_a_reader_follows_train_and_predict_through_few_files(script: ModuleType) -> None:
    found = script.traces()
    train, predict = found["train"], found["predict"]
    assert any(name.endswith(".predict") for _, name in predict.functions)
    counts = (len(train.files), len(train.functions), len(predict.files))
    limits = (MAX_TRAIN_FILES, MAX_TRAIN_FUNCTIONS, MAX_PREDICT_FILES)
    assert all(n <= limit for n, limit in zip(counts, limits, strict=True)), (counts, limits)


# --- where things are -----------------------------------------------------------------------------


def answers() -> list[tuple[str, str, list[str]]]:
    """Rows of the table in the architecture page: question, file, names that it defines."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = re.search(r"^\| question \| file \| defines \|\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.M)
    assert table is not None, "docs/architecture.md has no table: question | file | defines"
    rows = [line.strip("| \n").split("|") for line in table[1].splitlines()]
    return [(q.strip(), f.strip(" `"), re.findall(r"`([\w.]+)`", names)) for q, f, names in rows]


def defined_names(file: str) -> set[str]:
    """Names at the top of a file, and ``Class.name`` of what a class defines."""
    found: set[str] = set()
    for node in tree(file).body:
        names = names_of(node)
        found |= names
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n}" for inner in node.body for n in names_of(inner)}
    return found


def names_of(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {t.id for t in node.targets if isinstance(t, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def test_questions_lead_to_the_file_that_answers_them() -> None:
    asked = " ".join(question.lower() for question, _, _ in answers())
    assert [word for word in QUESTIONS if word not in asked] == []
    for question, file, names in answers():
        assert file in sources(), f"{question}: there is no {file}"
        assert names, f"{question}: no name"
        missing = set(names) - defined_names(file)
        assert missing == set(), f"{question}: {file} does not define {missing}"
