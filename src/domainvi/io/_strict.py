"""JSON as the standard has it: no NaN, no duplicate keys, bounded depth."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 128


def parse_json(data: bytes) -> Any:
    """Parse UTF-8 JSON strictly; every fault is a ``ValueError`` with a short reason."""
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
        level = [child for item in level for child in _children(item)]
        if not level:
            return True
    return False


def _children(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []
