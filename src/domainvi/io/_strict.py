"""JSON as the standard has it: no NaN, no duplicate keys, bounded depth."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 128
# An empty list takes three bytes in the file and more than twenty times that in memory.
MAX_CONTAINERS = 2**20


def parse_json(data: bytes) -> Any:
    """Parse UTF-8 JSON strictly; every fault is a ``ValueError`` with a short reason."""
    check_containers(data)
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise ValueError(_too_deep()) from error
    if not _within_depth(value):
        raise ValueError(_too_deep())
    return value


def check_containers(data: bytes) -> None:
    """Refuse more lists and objects than a model needs, by counting their brackets."""
    count = data.count(b"[") + data.count(b"{")
    if count > MAX_CONTAINERS:
        msg = f"it has {count} lists and objects, more than {MAX_CONTAINERS}"
        raise ValueError(msg)


def dump_json(value: Any) -> bytes:
    """Write compact JSON; the same value always gives the same bytes."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        msg = "an object has the same key twice"
        raise ValueError(msg)
    return result


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        msg = f"the number {text[:20]} is out of range"
        raise ValueError(msg)
    return value


def _too_deep() -> str:
    return f"nested deeper than {MAX_DEPTH} levels"


def _within_depth(value: Any) -> bool:
    """Test the depth level by level: hostile nesting must not exhaust the stack."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child for item in level for child in _children(item) if isinstance(child, list | dict)
        ]
        if not level:
            return True
    return False


def _children(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()
