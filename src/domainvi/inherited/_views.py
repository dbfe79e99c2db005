"""Print what a model was set up with, in the names of the user's object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich
from rich.table import Table
from scvi import REGISTRY_KEYS

from domainvi._compat import (
    FIELD_REGISTRIES_KEY,
    SETUP_ARGS_KEY,
    SETUP_METHOD_KEY,
    STATE_REGISTRY_KEY,
)
from domainvi.data import MODALITIES, ONE_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Registered parts that a setup may lack.
DATA, STATISTICS = "data_registry", "summary_stats"
# What setup makes of other arguments, at length.
DERIVED, FACTOR = "factors", "_factor_"


def view_setup(registry: Mapping[str, Any], *, hide_states: bool = False) -> None:
    """Print arguments, sizes and places of a setup, and the codes of its categories.

    The registry of scvi-tools describes the private copy that a model works on; the places that
    are printed are those of the user's object.

    Parameters
    ----------
    registry
        Registry of a model or of prepared rows.
    hide_states
        Leave out the categories and their codes.
    """
    view_arguments(registry)
    arguments, fields = registry[SETUP_ARGS_KEY], registry[FIELD_REGISTRIES_KEY]
    sizes = [size for field in fields.values() for size in field[STATISTICS].items()]
    rich.print(table("Summary statistics", ("what", "value"), sizes))
    found = {key: field for key, field in fields.items() if field[DATA]}
    rows = [(key, place(key, field, arguments)) for key, field in found.items()]
    rich.print(table("Registered data", ("what", "place in the object"), rows))
    if hide_states:
        return
    for key, field in found.items():
        levels = field[STATE_REGISTRY_KEY].get("categorical_mapping")
        if levels is not None:
            title = f"{key}: {place(key, field, arguments)}"
            codes = ((level, code) for code, level in enumerate(levels))
            rich.print(table(title, ("category", "code"), codes))


def view_arguments(registry: Mapping[str, Any]) -> None:
    """Print the arguments of a setup that say something."""
    arguments = registry[SETUP_ARGS_KEY].items()
    rich.print(f"Set up with {registry['model_name']}.{registry[SETUP_METHOD_KEY]}:")
    rich.print({k: v for k, v in arguments if k != DERIVED and not is_empty(v)})


def place(key: str, field: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """Name the place of a registered field in the user's object."""
    if key == REGISTRY_KEYS.X_KEY:
        modalities = arguments.get(MODALITIES)
        layers = {"adata": arguments.get("layer")}
        if modalities:
            layers = {f"mdata[{name!r}]": layer for name, layer in modalities.items()}
        return ", ".join(
            f"{owner}.X" if layer is None else f"{owner}.layers[{layer!r}]"
            for owner, layer in layers.items()
        )
    owner = "mdata" if arguments.get(MODALITIES) else "adata"
    if key == MODALITIES:
        return f"{owner}.mod"
    state = field[STATE_REGISTRY_KEY]
    columns = state.get("field_keys", state.get("columns"))
    if columns is None:
        columns = [state.get("original_key", field[DATA]["attr_key"])]
    if list(columns) == [ONE_DOMAIN]:
        return "none: all rows are of one"
    names = [str(column).removeprefix(FACTOR) for column in columns]
    return ", ".join(f"{owner}.obs[{name!r}]" for name in names)


def is_empty(value: Any) -> bool:
    """Whether an argument of a setup says nothing."""
    return value is None or (isinstance(value, (list, dict)) and not value)


def table(title: str, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> Table:
    """Make a table of text."""
    out = Table(title=title, title_justify="left")
    for name in columns:
        out.add_column(name, overflow="fold")
    for row in rows:
        out.add_row(*map(str, row))
    return out
