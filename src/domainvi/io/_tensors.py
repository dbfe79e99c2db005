"""Tensors as safetensors bytes, and back; a header is checked before memory is allocated for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from domainvi.errors import InputError

from ._codec import is_numeric, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

# Names of safetensors for the types that a model file may hold.
_DTYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
    "I32": torch.int32, "I64": torch.int64, "U16": torch.uint16, "U32": torch.uint32,
    "U64": torch.uint64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32,
    "F64": torch.float64,
}  # fmt: skip
_MAX_HEADER_BYTES = 2**23
_MAX_NAME_LENGTH = 512
_MAX_DIMS = 16
_MAX_ELEMENTS = 2**48


def pack_tensors(tensors: Mapping[str, torch.Tensor | np.ndarray]) -> bytes:
    """Copy tensors into the bytes of a safetensors file; the caller's objects stay untouched."""
    plain = {_checked_name(name): _to_tensor(name, value) for name, value in tensors.items()}
    data = save(plain)
    try:
        check_header(data[8 : 8 + header_length(data[:8], len(data))])
    except ValueError as error:
        msg = f"tensors cannot be saved as one file: {error}. Save fewer or smaller tensors."
        raise InputError(msg) from error
    return data


def header_length(prefix: bytes, file_size: int) -> int:
    """Read the length of the header from the first 8 bytes; ``ValueError`` if it cannot be true."""
    if len(prefix) < 8:
        msg = f"it has {len(prefix)} bytes, fewer than any safetensors file"
        raise ValueError(msg)
    length = int.from_bytes(prefix, "little")
    limit = min(_MAX_HEADER_BYTES, file_size - 8)
    if length > limit:
        msg = f"its header claims {length} bytes where at most {limit} are possible"
        raise ValueError(msg)
    return length


def check_header(header: bytes) -> None:
    """Refuse names, types and shapes that safetensors would take; ``ValueError`` with a reason.

    That the tensors have the bytes of their shape and fill the file without gaps is checked by
    safetensors.
    """
    if header[:1] != b"{":
        msg = "its header is not a JSON object"
        raise ValueError(msg)
    for name, entry in parse_json(header).items():
        if name != "__metadata__":
            _check_entry(name, entry)


def _check_entry(name: str, entry: Any) -> None:
    if not 0 < len(name) <= _MAX_NAME_LENGTH:
        msg = f"a tensor name has {len(name)} characters"
        raise ValueError(msg)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        msg = f"tensor {name!r:.80} is not described by dtype, shape and data_offsets"
        raise ValueError(msg)
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        msg = f"tensor {name!r:.80} has the dtype {dtype!r:.40}, which is not allowed"
        raise ValueError(msg)
    # Zeros count as ones in the bound: an empty tensor must not smuggle in an absurd shape.
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_DIMS
        or not all(type(n) is int and n >= 0 for n in shape)
        or math.prod(max(n, 1) for n in shape) > _MAX_ELEMENTS
    ):
        msg = f"tensor {name!r:.80} has an impossible shape"
        raise ValueError(msg)


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
    usable = 0 < len(name) <= _MAX_NAME_LENGTH and name != "__metadata__"
    if not usable or any("\ud800" <= character <= "\udfff" for character in name):
        msg = f"tensors: the name {name!r:.80} cannot be used; rename this tensor."
        raise InputError(msg)
    return name


def _to_tensor(name: str, value: Any) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        if not is_numeric(value):
            msg = (
                f"tensors[{name!r}] has dtype {value.dtype}, which a model file cannot hold: put "
                "text and objects into metadata."
            )
            raise InputError(msg)
        native = value.dtype.newbyteorder("=")
        value = torch.from_numpy(np.array(value, dtype=native, order="C"))
    if not isinstance(value, torch.Tensor):
        msg = f"tensors[{name!r}] must be a tensor or a numpy array, got {type(value).__name__}."
        raise InputError(msg)
    if value.dtype not in _DTYPES.values():
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in _DTYPES.values())
        msg = f"tensors[{name!r}] has dtype {value.dtype}; a model file holds {allowed}."
        raise InputError(msg)
    if value.layout != torch.strided or value.device.type == "meta":
        msg = (
            f"tensors[{name!r}] must be dense and hold data, got {value.layout} on {value.device}: "
            "call to_dense() or materialise it first."
        )
        raise InputError(msg)
    # A clone for each: safetensors refuses tensors that share memory (tied weights).
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)
