"""Numpy arrays as JSON, with dtype and shape."""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

import numpy as np

from domainvi.errors import InputError, ModelFileError
from domainvi.io._scalars import FLOAT_TAG, decode_float, encode_scalar, is_scalar

ARRAY_TAG = "__ndarray__"
MAX_ARRAY_BYTES = 2**28
_DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|object|str(0|[1-9][0-9]{0,8})")
_MAX_DIMS = 16
# What the items of each kind of array may be in the file; bool is no number here.
_ITEM_TYPES: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (float,),
    "U": (str,),
    "O": (str, int, float, bool, type(None)),
}


class Room:
    """What is left of the bytes that the arrays of one file may take together."""

    def __init__(self) -> None:
        self.left = MAX_ARRAY_BYTES

    def take(self, n_bytes: int) -> bool:
        """Use some, and tell whether they were there."""
        self.left -= n_bytes
        return self.left >= 0


def encode_array(array: np.ndarray, where: str, room: Room) -> dict[str, Any]:
    """Encode an array as ``{"__ndarray__": {"dtype", "shape", "data"}}`` with flat data.

    Text gets the width of its longest item.
    """
    if isinstance(array, np.ma.MaskedArray):
        msg = f"{where} is a masked array, whose mask would be lost: fill it first with filled()."
        raise InputError(msg)
    name, itemsize = array.dtype.name, array.itemsize
    if array.dtype.kind == "U":
        width = max(1, int(np.char.str_len(array).max(initial=0)))
        name, itemsize = f"str{width}", 4 * width
    if not _DTYPE.fullmatch(name):
        msg = f"{where} is an array of dtype {array.dtype}, which a model file cannot hold."
        raise InputError(msg + " Convert it to numbers, text or bool.")
    n_bytes = array.size * itemsize
    if array.ndim > _MAX_DIMS or not room.take(n_bytes):
        msg = f"{where} is an array of {n_bytes} bytes and {array.ndim} dimensions; all arrays of"
        msg += f" metadata together may take {MAX_ARRAY_BYTES}, and each have {_MAX_DIMS}."
        raise InputError(f"{msg} Pass it as a tensor.")
    flat = array.reshape(-1).tolist()
    bad = next((item for item in flat if not is_scalar(item)), None)
    if bad is not None:
        msg = f"{where} is an object array with an item of type {type(bad).__name__}:"
        raise InputError(f"{msg} only text, numbers, bools and None are possible.")
    data = [encode_scalar(item, where) for item in flat]
    return {ARRAY_TAG: {"dtype": name, "shape": list(array.shape), "data": data}}


def decode_array(content: Any, room: Room) -> np.ndarray:
    """Restore an array; the file is not trusted, so everything is checked before allocation."""
    if not isinstance(content, dict) or set(content) != {"dtype", "shape", "data"}:
        _refuse("an array needs dtype, shape and data")
    dtype = _checked_dtype(content["dtype"])
    shape = _checked_shape(content["shape"])
    data = content["data"]
    if not isinstance(data, list) or math.prod(shape) != len(data):
        _refuse(f"an array of shape {shape} has other data")
    items = _decoded_items(data, dtype)
    if not room.take(len(data) * dtype.itemsize):
        _refuse(f"its arrays exceed {MAX_ARRAY_BYTES} bytes")
    return _fill(items, dtype, shape)


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
        decode_float(item[FLOAT_TAG])
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


def _fill(items: list[Any], dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    try:
        with np.errstate(over="raise"):
            array = np.empty(len(items), dtype=dtype)
            array[:] = items
    except (ArithmeticError, ValueError, TypeError) as error:
        _refuse(f"items do not fit dtype {dtype} ({error})")
    return array.reshape(shape)


def _refuse(problem: str) -> NoReturn:
    msg = f"Model metadata is damaged: {problem}. Copy the model again from its source."
    raise ModelFileError(msg)
