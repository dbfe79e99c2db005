"""Tensors as safetensors bytes, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from domainvi.errors import InputError
from domainvi.io._header import MAX_NAME_LENGTH, check_header, header_length

if TYPE_CHECKING:
    from collections.abc import Mapping

_DTYPES = (
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
)


def pack_tensors(tensors: Mapping[str, torch.Tensor | np.ndarray]) -> bytes:
    """Copy tensors into the bytes of a safetensors file; the caller's objects stay untouched."""
    plain = {_checked_name(name): _to_tensor(name, value) for name, value in tensors.items()}
    data = save(plain)
    try:
        stop = 8 + header_length(data[:8], len(data))
        check_header(data[8:stop], len(data) - stop)
    except ValueError as error:
        msg = f"tensors cannot be saved as one file: {error}. Save fewer or smaller tensors."
        raise InputError(msg) from error
    return data


def unpack_tensors(data: bytes) -> dict[str, torch.Tensor]:
    """Restore tensors from bytes whose header was checked; ``ValueError`` when they are invalid."""
    try:
        tensors = load(data)
    except (SafetensorError, LookupError, RuntimeError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error
    for name, tensor in tensors.items():
        if tensor.dtype == torch.bool and (tensor.view(torch.uint8) > 1).any():
            msg = f"tensor {name!r:.80} holds bools that are neither 0 nor 1"
            raise ValueError(msg)
    # The library returns them in an order that changes from run to run.
    return dict(sorted(tensors.items()))


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        msg = f"tensors: names must be text, got {name!r} of type {type(name).__name__}."
        raise InputError(msg)
    usable = 0 < len(name) <= MAX_NAME_LENGTH and name != "__metadata__"
    if not usable or any("\ud800" <= character <= "\udfff" for character in name):
        msg = f"tensors: the name {name!r:.80} cannot be used; rename this tensor."
        raise InputError(msg)
    return name


def _to_tensor(name: str, value: Any) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        value = _from_numpy(name, value)
    if not isinstance(value, torch.Tensor):
        msg = f"tensors[{name!r}] must be a tensor or a numpy array, got {type(value).__name__}."
        raise InputError(msg)
    if value.dtype not in _DTYPES:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in _DTYPES)
        msg = f"tensors[{name!r}] has dtype {value.dtype}; a model file holds {allowed}."
        raise InputError(msg)
    if value.layout != torch.strided or value.device.type == "meta":
        msg = f"tensors[{name!r}] must be dense and hold data, got {value.layout} on {value.device}"
        raise InputError(msg + ": call to_dense() or materialise it first.")
    # A clone for each: safetensors refuses tensors that share memory (tied weights).
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _from_numpy(name: str, value: np.ndarray) -> torch.Tensor:
    native = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(native)
    except TypeError as error:
        msg = f"tensors[{name!r}] has dtype {value.dtype}, which a model file cannot hold: put text"
        raise InputError(f"{msg} and objects into metadata.") from error
