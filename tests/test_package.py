"""The frame of the package: one version, shipped types, pinned dependencies."""

from __future__ import annotations

import logging
import tomllib
from importlib.metadata import metadata, requires, version
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import domainvi

ROOT = Path(__file__).parents[1]


def test_version_stands_everywhere_the_same() -> None:
    assert domainvi.__version__ == version("domainvi")
    assert f"\nversion: {domainvi.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_types_are_shipped() -> None:
    assert files("domainvi").joinpath("py.typed").is_file()


def test_public_names_exist() -> None:
    assert [n for n in domainvi.__all__ if not hasattr(domainvi, n)] == []


def test_import_adds_no_log_handler() -> None:
    assert logging.getLogger("domainvi").handlers == []


@pytest.mark.parametrize("lane", ["py311", "py312"])
def test_every_dependency_is_pinned(lane: str) -> None:
    lines = (ROOT / "constraints" / f"{lane}.txt").read_text().splitlines()
    pinned = {_name(line) for line in lines if line[:1] != "#"}
    python = {"python_version": f"{lane[2]}.{lane[3:]}"}
    needed = [Requirement(r) for r in requires("domainvi") or []]
    extras = ["", *(metadata("domainvi").get_all("Provides-Extra") or [])]
    wanted = {
        _name(r.name)
        for r in needed
        if r.marker is None or any(r.marker.evaluate({**python, "extra": e}) for e in extras)
    }
    assert wanted - pinned - {"domainvi"} == set()


def test_the_conda_recipe_needs_what_the_package_needs() -> None:
    recipe = (ROOT / "packaging" / "conda" / "meta.yaml").read_text()
    lines = recipe.partition("  run:\n")[2].partition("\n\n")[0].splitlines()
    run = {line.strip(" -") for line in lines} - {"python >={{ python_min }}"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {r.replace(" ", "") for r in run} == set(project["dependencies"])


def _name(requirement: str) -> str:
    return Requirement(requirement).name.lower().replace("_", "-")
