"""The pages of the documentation: code runs, commands parse, links lead somewhere."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from domainvi import _keys
from domainvi.cli._main import build
from domainvi.trust import GuardRecord

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
if not DOCS.is_dir():
    pytest.skip("the documentation stands in the repository only", allow_module_level=True)
# These blocks are run by test_large_data.py, on files that it makes.
RUN_ELSEWHERE = {"large_data.md"}
OURS = [p for p in sorted(DOCS.rglob("*.md")) if not {"generated", "_build"} & set(p.parts)]


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def pages_with(language: str) -> list[Path]:
    return [page for page in OURS if blocks(page, language)]


def named(page: Path) -> str:
    return str(page.relative_to(DOCS))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in pages_with("python") if named(p) not in RUN_ELSEWHERE], ids=named
)
def test_python_blocks_run_from_top_to_bottom(page: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    code = blocks(page, "python")
    for block in code:
        exec(compile(block, named(page), "exec"), names)
    assert set(names) > {"__builtins__"}


def test_there_are_pages_with_code() -> None:
    assert {"how_to.md", "api.md"} <= {named(page) for page in pages_with("python")}


@pytest.mark.parametrize("page", pages_with("bash"), ids=named)
def test_commands_parse(page: Path) -> None:
    lines = "".join(blocks(page, "bash")).replace("\\\n", "").splitlines()
    for line in lines:
        for command in line.split(" && "):
            if command.startswith("domainvi "):
                words = shlex.split(command.split(" > ")[0], comments=True)[1:]
                build().parse_args(words, exit_on_error=False, print_error=False)
    assert lines


def headings(page: Path) -> set[str]:
    """Anchors of a page, as the documentation makes them from its headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in found}


@pytest.mark.parametrize("page", OURS, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    target, _, anchor = link.partition("#")
    path = (page.parent / target).resolve() if target else page
    if not path.exists():  # notebooks are copied below docs/ when it is built
        return (ROOT / "tutorials" / path.name).is_file()
    return not anchor or path.suffix != ".md" or anchor in headings(path)


def test_every_field_of_the_results_is_explained() -> None:
    source = inspect.getsource(_keys).split('# Fields of ``uns["domainvi"]``.')[1]
    fields = set(re.findall(r'^[A-Z_]+ = "(\w+)"', source, re.MULTILINE)) - {_keys.LABEL_TREE}
    guard = set(GuardRecord(agreement=1.0, target_class_prior=np.ones((1, 1))).to_dict())
    text = (DOCS / "user_guide" / "domainvi.md").read_text(encoding="utf-8")
    section = text.split('## What is in `uns["domainvi"]`')[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == fields | guard


def test_formulas_need_no_network() -> None:
    convert = pytest.importorskip("latex2mathml.converter").convert
    configuration = (DOCS / "conf.py").read_text(encoding="utf-8")
    assert 'html_math_renderer = "mathml"' in configuration
    assert "mathjax" not in configuration
    text = (DOCS / "user_guide" / "domainvi.md").read_text(encoding="utf-8")
    formulas = re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)
    assert len(formulas) > 3
    assert all("<mi" in convert(formula) for formula in formulas)
