"""The public names: each says what it is, and those for users show how with an example.

The examples themselves are run by pytest, wherever they stand.
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import Any

import pytest

import domainvi as dv

ROOMS = [
    "domainvi",
    *sorted(f"domainvi.{m.name}" for m in pkgutil.iter_modules(dv.__path__) if m.name[0] != "_"),
]
# Rooms that only somebody who builds a model of their own opens; and what data holds for these.
FOR_DEVELOPERS = {
    f"domainvi.{room}"
    for room in (
        "disentangled",
        "explain",
        "linear",
        "model",
        "module",
        "nn",
        "pretraining",
        "train",
    )
}
PARTS_OF_SETUP = {
    "Columns",
    "DiskMatrix",
    "PreparedAnnData",
    "PreparedManager",
    "PreparedRows",
    "Target",
    "TransferDataModule",
    "TransferSampler",
    "check_names",
    "check_numbers",
    "check_spread",
    "check_unchanged",
    "column_levels",
    "dense_rows",
    "flatten",
    "is_number_column",
    "labelled_weights",
    "n_bytes",
    "prepare",
    "process_number",
    "reference_order",
    "row_loader",
    "select_matrix",
    "to_tensors",
}
# One of scvi-tools' own.
SHOWN_ELSEWHERE = {"get_anndata_manager"}


def public(room: str) -> dict[str, Any]:
    """Public classes and functions of a room, by name."""
    module = import_module(room)
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


@pytest.mark.parametrize("room", ROOMS)
def test_everything_public_says_what_it_is(room: str) -> None:
    silent = [] if import_module(room).__doc__ else [room]
    for name, value in public(room).items():
        silent += [] if inspect.getdoc(value) else [name]
        if inspect.isclass(value):
            silent += [f"{name}.{m}" for m in members(value) if not says_what_it_is(value, m)]
    assert silent == []


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in FOR_DEVELOPERS])
def test_everything_for_users_has_an_example(room: str) -> None:
    without = {name for name, value in public(room).items() if ">>>" not in (value.__doc__ or "")}
    assert without == (PARTS_OF_SETUP if room == "domainvi.data" else set())


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
