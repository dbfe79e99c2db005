"""Colours of classes as people store them: lists, dicts, arrays of RGB or RGBA, bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def color_list(stored: Any, names: Sequence[str]) -> list[str]:
    """Read one colour for each name, as text; none if what is stored is not that.

    Examples
    --------
    >>> color_list({"b": "red", "a": (0, 0, 1)}, ["a", "b"])
    ['#0000ff', 'red']
    >>> color_list("tab10", ["a", "b"])
    []
    """
    if isinstance(stored, Mapping):
        stored = [stored.get(name) for name in names]
    if not isinstance(stored, list | tuple | np.ndarray) or np.ndim(np.asarray(stored, object)) < 1:
        return []
    colors = [_as_text(color) for color in stored]
    return [] if None in colors or len(colors) < len(names) else [c for c in colors if c]


def _as_text(color: Any) -> str | None:
    """Write a colour as matplotlib names it; ``None`` if it is no colour."""
    from matplotlib.colors import is_color_like, to_hex

    color = color.decode(errors="replace") if isinstance(color, bytes) else color
    if isinstance(color, np.ndarray):
        color = tuple(color.tolist())
    if not is_color_like(color):
        return None
    if isinstance(color, str):
        return str(color)
    return str(to_hex(color, keep_alpha=len(color) == 4 and color[3] < 1))
