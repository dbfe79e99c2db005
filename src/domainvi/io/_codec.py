"""Metadata as JSON, and back: nothing is encoded as code or a class name.

JSON is read as the standard has it: no NaN, no duplicate keys, bounded depth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from domainvi.errors import InputError, ModelFileError

if TYPE_CHECKING:
    import torch

FLOAT_TAG = "__float__"
ARRAY_TAG = "__ndarray__"
DICT_TAG = "__dict__"
# Encoding adds at most two levels to each, which stays below the bound of the reader.
_MAX_DEPTH = 50
_MAX_JSON_DEPTH = 128
# An empty list takes three bytes in the file and more than twenty times that in memory.
MAX_CONTAINERS = 2**20
# Python refuses to print integers of more than 4300 digits; random states have 128 bits.
_MAX_BITS = 4096
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_SCALARS = (str, int, float, type(None), np.generic)


def encode_json(obj: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Turn a value into plain JSON types, and take out the numeric arrays, which JSON only names.

    Values are ``None``, bool, int, float (NaN and infinities too), str, numpy scalars and arrays
    (of bool, numbers; of text, or objects that are scalars, in one dimension), lists, tuples, and
    mappings with text keys, nested up to 50 levels. Three kinds of dicts carry a tag:
    ``{"__float__": "nan"}``, ``{"__ndarray__": name or list of items}`` and, around a user's dict
    that holds one of these tags as a key, ``{"__dict__": {...}}``.

    Tuples come back as lists, numpy scalars as Python scalars, mappings as dicts, arrays of text as
    arrays of objects.

    Examples
    --------
    >>> encode_json({"classes": ("a", "b"), "best": float("inf"), "loss": np.arange(2)})
    ({'classes': ['a', 'b'], 'best': {'__float__': 'inf'}, 'loss': {'__ndarray__': 'metadata/0'}},
     {'metadata/0': array([0, 1])})
    """
    arrays: dict[str, np.ndarray] = {}
    return _encode(obj, "metadata", 0, arrays), arrays


def decode_json(obj: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Restore what :func:`encode_json` made, taking its arrays out of ``tensors``.

    Examples
    --------
    >>> decode_json({"a": {"__ndarray__": ["x", None]}, "b": {"__float__": "nan"}}, {})
    {'a': array(['x', None], dtype=object), 'b': nan}
    """
    if isinstance(obj, list):
        return [decode_json(item, tensors) for item in obj]
    if not isinstance(obj, dict):
        return obj
    if len(obj) == 1:
        tag, content = next(iter(obj.items()))
        if tag == FLOAT_TAG:
            return _decode_float(content)
        if tag == ARRAY_TAG:
            return _decode_array(content, tensors)
        if tag == DICT_TAG:
            obj = content
            if not isinstance(obj, dict):
                _refuse(f"{DICT_TAG} needs an object")
    return {key: decode_json(value, tensors) for key, value in obj.items()}


def _encode(obj: Any, where: str, depth: int, arrays: dict[str, np.ndarray]) -> Any:
    if depth > _MAX_DEPTH:
        msg = f"metadata is nested deeper than {_MAX_DEPTH} levels (or contains itself)."
        raise InputError(msg)
    if isinstance(obj, np.generic):
        obj = obj.item()
    if obj is None or isinstance(obj, str | int | float):
        return _encode_scalar(obj, where)
    if isinstance(obj, np.ndarray):
        return _encode_array(obj, where, depth, arrays)
    if isinstance(obj, list | tuple):
        return [_encode(item, f"{where}[{i}]", depth + 1, arrays) for i, item in enumerate(obj)]
    if isinstance(obj, Mapping):
        return _encode_mapping(obj, where, depth, arrays)
    msg = (
        f"{where} has type {type(obj).__module__}.{type(obj).__name__}, which a model file cannot "
        "hold: use numbers, text, lists, dicts or numpy arrays (pandas: to_numpy() or tolist())."
    )
    raise InputError(msg)


def _encode_scalar(obj: str | float | None, where: str) -> Any:
    if isinstance(obj, float) and not math.isfinite(obj):
        return {FLOAT_TAG: repr(obj)}
    if isinstance(obj, int) and obj.bit_length() > _MAX_BITS:
        msg = f"{where} is an integer of {obj.bit_length()} bits, more than {_MAX_BITS}."
        raise InputError(msg)
    return obj


def _encode_array(
    array: np.ndarray, where: str, depth: int, arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Put an array of numbers aside, and list the items of others."""
    if isinstance(array, np.ma.MaskedArray):
        msg = f"{where} is a masked array, whose mask would be lost: fill it first with filled()."
        raise InputError(msg)
    if is_numeric(array):
        name = f"metadata/{len(arrays)}"
        arrays[name] = array
        return {ARRAY_TAG: name}
    if array.dtype.kind not in "OU" or array.ndim != 1:
        msg = (
            f"{where} is an array of dtype {array.dtype} and {array.ndim} dimensions, which a "
            "model file cannot hold. Convert it to numbers or bool, or to text in one dimension."
        )
        raise InputError(msg)
    bad = next((item for item in array if not isinstance(item, _SCALARS)), None)
    if bad is not None:
        msg = (
            f"{where} is an object array with an item of type {type(bad).__name__}: only text, "
            "numbers, bools and None are possible."
        )
        raise InputError(msg)
    return {ARRAY_TAG: [_encode(item, where, depth + 1, arrays) for item in array]}


def is_numeric(array: np.ndarray) -> bool:
    """Whether an array is of bools or numbers that a tensor can hold."""
    return array.dtype.kind in "biuf" and array.itemsize <= 8


def _encode_mapping(
    obj: Mapping[Any, Any], where: str, depth: int, arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    for key in obj:
        if not isinstance(key, str):
            msg = f"{where} has the key {key!r} of type {type(key).__name__}: keys must be text."
            raise InputError(msg)
    result = {
        str(key): _encode(value, f"{where}[{key!r}]", depth + 1, arrays)
        for key, value in obj.items()
    }
    return {DICT_TAG: result} if result.keys() & {ARRAY_TAG, FLOAT_TAG, DICT_TAG} else result


def _decode_float(content: Any) -> float:
    """Restore NaN or an infinity from its name."""
    if not isinstance(content, str) or content not in _SPECIAL:
        _refuse(f"unknown special float {content!r:.40}")
    return _SPECIAL[content]


def _decode_array(content: Any, tensors: dict[str, torch.Tensor]) -> np.ndarray:
    """Take an array of numbers out of the tensors, each once, or make one of a list of scalars."""
    if isinstance(content, list):
        items = [decode_json(item, {}) for item in content]
        if not all(isinstance(item, _SCALARS) for item in items):
            _refuse("an array holds items that are no scalars")
        return np.fromiter(items, dtype=object, count=len(items))
    if not isinstance(content, str) or content not in tensors:
        _refuse(f"there is no array {content!r:.40}")
    try:
        return tensors.pop(content).numpy()
    except TypeError as error:
        _refuse(f"{content!r:.40} is no array ({error})")


def _refuse(problem: str) -> NoReturn:
    msg = f"Model metadata is damaged: {problem}. Copy the model again from its source."
    raise ModelFileError(msg)


def dump_json(value: Any) -> bytes:
    """Write compact JSON; the same value always gives the same bytes."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


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
        too_deep = _depth(value) > _MAX_JSON_DEPTH
    except RecursionError:
        too_deep = True
    if too_deep:
        msg = f"nested deeper than {_MAX_JSON_DEPTH} levels"
        raise ValueError(msg)
    return value


def check_containers(data: bytes) -> None:
    """Refuse more lists and objects than a model needs, by counting their brackets."""
    count = data.count(b"[") + data.count(b"{")
    if count > MAX_CONTAINERS:
        msg = f"it has {count} lists and objects, more than {MAX_CONTAINERS}"
        raise ValueError(msg)


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


def _depth(value: Any) -> int:
    """Count levels of lists and objects."""
    if not isinstance(value, list | dict):
        return 0
    children = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(c) for c in children if isinstance(c, list | dict)), default=0)
