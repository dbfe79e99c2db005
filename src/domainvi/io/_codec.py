"""Python and numpy values as plain JSON, and back; nothing is encoded as code or a class name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from domainvi.errors import InputError, ModelFileError

FLOAT_TAG = "__float__"
ARRAY_TAG = "__ndarray__"
DICT_TAG = "__dict__"
# Bytes that all arrays of one file may take together.
MAX_ARRAY_BYTES = 2**28
# Encoding adds at most two levels to each, which stays below the bound of the JSON reader.
_MAX_DEPTH = 50
_MAX_DIMS = 16
# Python refuses to print integers of more than 4300 digits; random states have 128 bits.
_MAX_BITS = 4096
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|object|str(0|[1-9][0-9]{0,8})")
# What the items of each kind of array may be in the file; bool is no number here.
_ITEM_TYPES: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (float,),
    "U": (str,),
    "O": (str, int, float, bool, type(None)),
}


class _Budget:
    """Bytes that are left for the arrays of one file."""

    def __init__(self) -> None:
        self.left = MAX_ARRAY_BYTES

    def take(self, n_bytes: int) -> bool:
        """Use some, and tell whether they were there."""
        self.left -= n_bytes
        return self.left >= 0


def encode_json(obj: Any) -> Any:
    """Turn a value into plain JSON types, so that :func:`decode_json` can restore it.

    Values are ``None``, bool, int, float (NaN and infinities too), str, numpy scalars and arrays
    (of bool, numbers, text, and objects that are all text, numbers, bools or ``None``), lists,
    tuples, and mappings with text keys, nested up to 50 levels. Three kinds of dicts carry a tag:
    ``{"__float__": "nan"}``, ``{"__ndarray__": {"dtype", "shape", "data"}}`` and, around a user's
    dict that holds one of these tags as a key, ``{"__dict__": {...}}``.

    Tuples come back as lists, numpy scalars as Python scalars, mappings as dicts. Arrays keep
    their dtype and shape, those of text with the width of their longest item.

    Examples
    --------
    >>> encode_json({"classes": ("a", "b"), "best": float("inf")})
    {'classes': ['a', 'b'], 'best': {'__float__': 'inf'}}
    """
    return _encode(obj, "metadata", 0, _Budget())


def decode_json(obj: Any) -> Any:
    """Restore what :func:`encode_json` made; the file is not trusted.

    Examples
    --------
    >>> decode_json({"__ndarray__": {"dtype": "int64", "shape": [2], "data": [3, 4]}})
    array([3, 4])
    """
    return _decode(obj, _Budget())


def _encode(obj: Any, where: str, depth: int, budget: _Budget) -> Any:
    if depth > _MAX_DEPTH:
        msg = f"metadata is nested deeper than {_MAX_DEPTH} levels (or contains itself)."
        raise InputError(msg)
    if _is_scalar(obj):
        return _encode_scalar(obj, where)
    if isinstance(obj, np.ndarray):
        return _encode_array(obj, where, budget)
    if isinstance(obj, list | tuple):
        return [_encode(item, f"{where}[{i}]", depth + 1, budget) for i, item in enumerate(obj)]
    if isinstance(obj, Mapping):
        return _encode_mapping(obj, where, depth, budget)
    msg = (
        f"{where} has type {type(obj).__module__}.{type(obj).__name__}, which a model file cannot "
        "hold: use numbers, text, lists, dicts or numpy arrays (pandas: to_numpy() or tolist())."
    )
    raise InputError(msg)


def _is_scalar(obj: Any) -> bool:
    return obj is None or isinstance(
        obj, bool | int | float | str | np.bool_ | np.integer | np.floating
    )


def _encode_scalar(obj: Any, where: str) -> Any:
    """Encode one scalar; numpy scalars become Python scalars."""
    if obj is None or isinstance(obj, bool | np.bool_):
        return None if obj is None else bool(obj)
    if isinstance(obj, str):
        return str.__str__(obj)
    if isinstance(obj, int | np.integer):
        value = int(obj)
        if value.bit_length() > _MAX_BITS:
            msg = f"{where} is an integer of {value.bit_length()} bits, more than {_MAX_BITS}."
            raise InputError(msg)
        return value
    number = float(obj)
    return number if math.isfinite(number) else {FLOAT_TAG: repr(number)}


def _encode_array(array: np.ndarray, where: str, budget: _Budget) -> dict[str, Any]:
    """Encode an array with flat data; text gets the width of its longest item."""
    if isinstance(array, np.ma.MaskedArray):
        msg = f"{where} is a masked array, whose mask would be lost: fill it first with filled()."
        raise InputError(msg)
    name, itemsize = array.dtype.name, array.itemsize
    if array.dtype.kind == "U":
        width = max(1, int(np.char.str_len(array).max(initial=0)))
        name, itemsize = f"str{width}", 4 * width
    if not _DTYPE.fullmatch(name):
        msg = (
            f"{where} is an array of dtype {array.dtype}, which a model file cannot hold. Convert "
            "it to numbers, text or bool."
        )
        raise InputError(msg)
    n_bytes = array.size * itemsize
    if array.ndim > _MAX_DIMS or not budget.take(n_bytes):
        msg = (
            f"{where} is an array of {n_bytes} bytes and {array.ndim} dimensions; all arrays of "
            f"metadata together may take {MAX_ARRAY_BYTES}, and each have {_MAX_DIMS}. Pass it as "
            "a tensor."
        )
        raise InputError(msg)
    flat = array.reshape(-1).tolist()
    bad = next((item for item in flat if not _is_scalar(item)), None)
    if bad is not None:
        msg = (
            f"{where} is an object array with an item of type {type(bad).__name__}: only text, "
            "numbers, bools and None are possible."
        )
        raise InputError(msg)
    data = [_encode_scalar(item, where) for item in flat]
    return {ARRAY_TAG: {"dtype": name, "shape": list(array.shape), "data": data}}


def _encode_mapping(
    obj: Mapping[Any, Any], where: str, depth: int, budget: _Budget
) -> dict[str, Any]:
    for key in obj:
        if not isinstance(key, str):
            msg = f"{where} has the key {key!r} of type {type(key).__name__}: keys must be text."
            raise InputError(msg)
    result = {
        str.__str__(key): _encode(value, f"{where}[{key!r}]", depth + 1, budget)
        for key, value in obj.items()
    }
    if any(tag in result for tag in (ARRAY_TAG, FLOAT_TAG, DICT_TAG)):
        return {DICT_TAG: result}
    return result


def _decode(obj: Any, budget: _Budget) -> Any:
    if isinstance(obj, list):
        return [_decode(item, budget) for item in obj]
    if not isinstance(obj, dict):
        return obj
    if len(obj) == 1:
        tag, content = next(iter(obj.items()))
        if tag == FLOAT_TAG:
            return _decode_float(content)
        if tag == ARRAY_TAG:
            return _decode_array(content, budget)
        if tag == DICT_TAG:
            obj = content
            if not isinstance(obj, dict):
                _refuse(f"{DICT_TAG} needs an object")
    return {key: _decode(value, budget) for key, value in obj.items()}


def _decode_float(content: Any) -> float:
    """Restore NaN or an infinity from its name."""
    if not isinstance(content, str) or content not in _SPECIAL:
        _refuse(f"unknown special float {content!r:.40}")
    return _SPECIAL[content]


def _decode_array(content: Any, budget: _Budget) -> np.ndarray:
    """Restore an array; everything is checked before allocation."""
    if not isinstance(content, dict) or set(content) != {"dtype", "shape", "data"}:
        _refuse("an array needs dtype, shape and data")
    dtype = _checked_dtype(content["dtype"])
    shape = _checked_shape(content["shape"])
    data = content["data"]
    if not isinstance(data, list) or math.prod(shape) != len(data):
        _refuse(f"an array of shape {shape} has other data")
    items = _decoded_items(data, dtype)
    if not budget.take(len(data) * dtype.itemsize):
        _refuse(f"its arrays exceed {MAX_ARRAY_BYTES} bytes")
    try:
        with np.errstate(over="raise"):
            array = np.empty(len(items), dtype=dtype)
            array[:] = items
    except (ArithmeticError, ValueError, TypeError) as error:
        _refuse(f"items do not fit dtype {dtype} ({error})")
    return array.reshape(shape)


def _checked_dtype(name: Any) -> np.dtype:
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        _refuse(f"unknown array dtype {name!r:.40}")
    if not name.startswith("str"):
        return np.dtype(name)
    width = int(name[3:])
    if width * 4 > MAX_ARRAY_BYTES:
        _refuse(f"text of {width} characters in an array")
    return np.dtype(f"<U{max(width, 1)}")


def _checked_shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) > _MAX_DIMS:
        _refuse("an array shape must be a short list")
    if not all(type(n) is int and 0 <= n <= MAX_ARRAY_BYTES for n in shape):
        _refuse("an array shape must hold non-negative integers")
    if math.prod(max(n, 1) for n in shape) > MAX_ARRAY_BYTES:
        _refuse("an array shape is too large")
    return tuple(shape)


def _decoded_items(data: list[Any], dtype: np.dtype) -> list[Any]:
    allowed = _ITEM_TYPES[dtype.kind]
    special = float in allowed
    items: list[Any] = [
        _decode_float(item[FLOAT_TAG])
        if special and isinstance(item, dict) and set(item) == {FLOAT_TAG}
        else item
        for item in data
    ]
    if any(type(item) not in allowed for item in items):
        _refuse(f"an array of dtype {dtype} holds items of another type")
    # Only what is there may ask for memory.
    if dtype.kind == "U" and dtype.itemsize != 4 * max(1, max(map(len, items), default=1)):
        _refuse(f"the longest text is not as long as its dtype {dtype}")
    return items


def _refuse(problem: str) -> NoReturn:
    msg = f"Model metadata is damaged: {problem}. Copy the model again from its source."
    raise ModelFileError(msg)
