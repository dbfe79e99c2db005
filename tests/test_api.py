"""The public names: each says what it is and shows how; the pages say which names these are.

The examples themselves are run by pytest, wherever they stand.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import domainvi as dv

PUBLIC = ["domainvi", *(f"domainvi.{name}" for name in ("data", "errors", "metrics", "pl", "tl"))]
PAGE = Path(__file__).parents[1] / "docs" / "api.md"
# One of scvi-tools' own.
SHOWN_ELSEWHERE = {"get_anndata_manager"}


def subpackages() -> set[str]:
    return {m.name for m in pkgutil.iter_modules(dv.__path__) if m.name[0] != "_"}


def public(namespace: str) -> dict[str, Any]:
    """Public classes and functions of a namespace, by name."""
    module = import_module(namespace)
    found = {name: getattr(module, name) for name in module.__all__}
    return {n: o for n, o in found.items() if inspect.isclass(o) or inspect.isfunction(o)}


def members(owner: type) -> dict[str, Any]:
    """Public methods and properties of a class that are our own."""
    found = {}
    for name in dir(owner):
        member = inspect.getattr_static(owner, name)
        member = getattr(member, "__func__", getattr(member, "fget", member))
        if name[0] != "_" and str(getattr(member, "__module__", "")).startswith("domainvi"):
            found[name] = member
    return found


def says_what_it_is(owner: type, member: str) -> bool:
    """Whether a member, or what it takes the place of in a base class, has a docstring."""
    return any(inspect.getdoc(vars(base)[member]) for base in owner.__mro__ if member in vars(base))


@pytest.mark.parametrize("namespace", PUBLIC)
def test_everything_public_says_what_it_is(namespace: str) -> None:
    silent = [] if import_module(namespace).__doc__ else [namespace]
    for name, value in public(namespace).items():
        silent += [] if inspect.getdoc(value) else [name]
        if inspect.isclass(value):
            silent += [f"{name}.{m}" for m in members(value) if not says_what_it_is(value, m)]
    assert silent == []


@pytest.mark.parametrize("namespace", PUBLIC)
def test_everything_public_has_an_example(namespace: str) -> None:
    found = public(namespace)
    assert {name for name, value in found.items() if ">>>" not in (value.__doc__ or "")} == set()


@pytest.mark.parametrize("model", [dv.DomainVI, dv.DisentangledVI])
def test_every_method_of_the_models_has_an_example(model: type) -> None:
    methods = {
        name: f
        for name, f in members(model).items()
        if not isinstance(inspect.getattr_static(model, name), property)
    }
    assert {"train", "predict", "annotate", "save"} <= set(methods)
    without = {name for name, f in methods.items() if ">>>" not in (f.__doc__ or "")}
    assert {n for n in without if not {n, f"{model.__name__}.{n}"} & SHOWN_ELSEWHERE} == set()


def test_public_names_are_few() -> None:
    assert 40 <= sum(len(import_module(namespace).__all__) for namespace in PUBLIC) <= 80


@pytest.mark.parametrize("name", sorted(subpackages()))
def test_internal_subpackages_say_what_they_are_for(name: str) -> None:
    assert (import_module(f"domainvi.{name}").__doc__ or "").strip()


@pytest.mark.skipif(not PAGE.is_file(), reason="the documentation stands in the repository only")
def test_the_page_names_what_is_public_and_what_is_internal() -> None:
    text, internal = PAGE.read_text(encoding="utf-8").split("## What is internal")
    listed = set(re.findall(r"^   domainvi\.(\w+)$", text, re.MULTILINE))
    assert listed == set(dv.__all__)
    assert subpackages() - listed <= set(re.findall(r"`(\w+)`", internal))
