"""Python and numpy values as plain JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from domainvi.errors import InputError, ModelFileError
from domainvi.io._arrays import ARRAY_TAG, Room, decode_array, encode_array
from domainvi.io._scalars import FLOAT_TAG, decode_float, encode_scalar, is_scalar

DICT_TAG = "__dict__"
_TAGS = (ARRAY_TAG, FLOAT_TAG, DICT_TAG)
# Encoding adds at most two levels to each, which stays below the bound of the JSON reader.
_MAX_DEPTH = 50


def encode_json(obj: Any) -> Any:
    """Turn a value into plain JSON types, so that :func:`decode_json` can restore it.

    Parameters
    ----------
    obj
        ``None``, bool, int, float (NaN and infinities too), str, numpy scalars, numpy arrays
        (bool, integers, floats, text, and objects that are all text, numbers, bools or ``None``),
        lists, tuples, and mappings with text keys, nested up to 50 levels.

    Returns
    -------
    The same value in dicts, lists, text and numbers. Three kinds of dicts carry a tag:
    ``{"__float__": "nan"}``, ``{"__ndarray__": {"dtype", "shape", "data"}}`` and, around a user's
    dict that holds one of these tags as a key, ``{"__dict__": {...}}``.

    Raises
    ------
    InputError
        For any other type, a key that is not text, or deeper nesting; the message says where.

    Notes
    -----
    Tuples come back as lists, numpy scalars as Python scalars, mappings as dicts. Arrays keep
    their dtype and shape, those of text with the width of their longest item, and may take 256 MB
    together. Nothing is ever encoded as code or as the name of a class.

    Examples
    --------
    >>> from domainvi.io import encode_json
    >>> encode_json({"classes": ("a", "b"), "best": float("inf")})
    {'classes': ['a', 'b'], 'best': {'__float__': 'inf'}}
    """
    return _encode(obj, "metadata", 0, Room())


def decode_json(obj: Any) -> Any:
    """Restore what :func:`encode_json` made.

    Parameters
    ----------
    obj
        Plain JSON types, as returned by :func:`encode_json` or read from a file.

    Returns
    -------
    The value, with numpy arrays and special floats in place.

    Raises
    ------
    ModelFileError
        If a tag is malformed, or an array would not fit its declared dtype and shape.

    Examples
    --------
    >>> from domainvi.io import decode_json
    >>> decode_json({"__ndarray__": {"dtype": "int64", "shape": [2], "data": [3, 4]}})
    array([3, 4])
    """
    return _decode(obj, Room())


def _decode(obj: Any, room: Room) -> Any:
    if isinstance(obj, list):
        return [_decode(item, room) for item in obj]
    if not isinstance(obj, dict):
        return obj
    if len(obj) == 1:
        tag, content = next(iter(obj.items()))
        if tag == FLOAT_TAG:
            return decode_float(content)
        if tag == ARRAY_TAG:
            return decode_array(content, room)
        if tag == DICT_TAG:
            return _decode_items(content, room)
    return _decode_items(obj, room)


def _decode_items(content: Any, room: Room) -> dict[str, Any]:
    if not isinstance(content, dict):
        msg = f"Model metadata is damaged: {DICT_TAG} needs an object. Copy the model again."
        raise ModelFileError(msg)
    return {key: _decode(value, room) for key, value in content.items()}


def _encode(obj: Any, where: str, depth: int, room: Room) -> Any:
    if depth > _MAX_DEPTH:
        msg = f"metadata is nested deeper than {_MAX_DEPTH} levels (or contains itself)."
        raise InputError(msg)
    if is_scalar(obj):
        return encode_scalar(obj, where)
    if isinstance(obj, np.ndarray):
        return encode_array(obj, where, room)
    if isinstance(obj, list | tuple):
        return [_encode(item, f"{where}[{i}]", depth + 1, room) for i, item in enumerate(obj)]
    if isinstance(obj, Mapping):
        return _encode_mapping(obj, where, depth, room)
    msg = (
        f"{where} has type {type(obj).__module__}.{type(obj).__name__}, which a model file cannot "
        "hold: use numbers, text, lists, dicts or numpy arrays (pandas: to_numpy() or tolist())."
    )
    raise InputError(msg)


def _encode_mapping(obj: Mapping[Any, Any], where: str, depth: int, room: Room) -> dict[str, Any]:
    for key in obj:
        if not isinstance(key, str):
            msg = f"{where} has the key {key!r} of type {type(key).__name__}: keys must be text."
            raise InputError(msg)
    result = {
        str.__str__(key): _encode(value, f"{where}[{key!r}]", depth + 1, room)
        for key, value in obj.items()
    }
    if any(tag in result for tag in _TAGS):
        return {DICT_TAG: result}
    return result
