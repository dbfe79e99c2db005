"""Random edits of JSON documents."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Every place in a document, as keys and positions from its root."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, child in items:
        yield from places(child, (*path, key))


def edit(rng: np.random.Generator, document: Any, junk: Sequence[Any]) -> None:
    """Replace one place by junk or by another place, or delete it."""
    found = list(places(document))[1:]
    if not found:
        return
    *path, last = found[rng.integers(len(found))]
    holder = _at(document, path)
    action = rng.integers(3)
    if action == 0:
        holder[last] = copy.deepcopy(junk[rng.integers(len(junk))])
    elif action == 1:
        del holder[last]
    else:
        holder[last] = copy.deepcopy(_at(document, found[rng.integers(len(found))]))


def _at(document: Any, path: Sequence[Any]) -> Any:
    for key in path:
        document = document[key]
    return document
