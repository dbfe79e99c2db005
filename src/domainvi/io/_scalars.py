"""Single numbers and texts as JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from domainvi.errors import InputError, ModelFileError

FLOAT_TAG = "__float__"
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# Python refuses to print integers of more than 4300 digits; random states have 128 bits.
_MAX_BITS = 4096


def is_scalar(obj: Any) -> bool:
    """Tell whether a value is one number, text, bool or ``None``."""
    return obj is None or isinstance(
        obj, bool | int | float | str | np.bool_ | np.integer | np.floating
    )


def encode_scalar(obj: Any, where: str) -> Any:
    """Encode one scalar; numpy scalars become Python scalars."""
    if obj is None or isinstance(obj, bool | np.bool_):
        return None if obj is None else bool(obj)
    if isinstance(obj, str):
        return str.__str__(obj)
    if isinstance(obj, int | np.integer):
        return _encode_int(int(obj), where)
    value = float(obj)
    return value if math.isfinite(value) else {FLOAT_TAG: repr(value)}


def decode_float(content: Any) -> float:
    """Restore NaN or an infinity from its name."""
    if not isinstance(content, str) or content not in _SPECIAL:
        msg = f"Model metadata is damaged: unknown special float {content!r:.40}."
        raise ModelFileError(msg + " Copy the model again.")
    return _SPECIAL[content]


def _encode_int(value: int, where: str) -> int:
    if value.bit_length() > _MAX_BITS:
        msg = f"{where} is an integer of {value.bit_length()} bits, more than {_MAX_BITS}."
        raise InputError(msg)
    return value
