"""The header of a safetensors file, checked before anything is allocated for it."""

from __future__ import annotations

import math
from typing import Any

from domainvi.io._strict import parse_json

MAX_HEADER_BYTES = 2**23
MAX_NAME_LENGTH = 512
ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "F16": 2, "BF16": 2, "F32": 4,
    "F64": 8,
}  # fmt: skip
_MAX_DIMS = 16
_MAX_ELEMENTS = 2**48
_PREFIX_BYTES = 8


def header_length(prefix: bytes, file_size: int) -> int:
    """Read the length of the header from the first 8 bytes; refuse one that cannot be true.

    Raises ``ValueError`` with a short reason.
    """
    if len(prefix) < _PREFIX_BYTES:
        msg = f"it has {len(prefix)} bytes, fewer than any safetensors file"
        raise ValueError(msg)
    length = int.from_bytes(prefix[:_PREFIX_BYTES], "little")
    limit = min(MAX_HEADER_BYTES, file_size - _PREFIX_BYTES)
    if length > limit:
        msg = f"its header claims {length} bytes where at most {limit} are possible"
        raise ValueError(msg)
    return length


def check_header(header: bytes, data_bytes: int) -> None:
    """Check that the tensors are of allowed types and fill the data part exactly.

    Raises ``ValueError`` with a short reason. The source of the rules is the format description
    of safetensors; offsets have to be contiguous, so nothing hides between tensors.
    """
    if header[:1] != b"{":
        msg = "its header is not a JSON object"
        raise ValueError(msg)
    entries = parse_json(header)
    entries.pop("__metadata__", None)
    spans = sorted(_checked_span(name, entry) for name, entry in entries.items())
    position = 0
    for start, stop in spans:
        if start != position:
            msg = "its tensors overlap or leave gaps"
            raise ValueError(msg)
        position = stop
    if position != data_bytes:
        msg = f"its header describes {position} bytes of tensors and {data_bytes} are there"
        raise ValueError(msg)


def _checked_span(name: str, entry: Any) -> tuple[int, int]:
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        msg = f"a tensor name has {len(name)} characters"
        raise ValueError(msg)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        msg = f"tensor {name!r:.80} is not described by dtype, shape and data_offsets"
        raise ValueError(msg)
    item_bytes = ITEM_BYTES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if item_bytes is None:
        msg = f"tensor {name!r:.80} has the dtype {entry['dtype']!r:.40}, which is not allowed"
        raise ValueError(msg)
    start, stop = _checked_offsets(name, entry["data_offsets"])
    if _n_elements(name, entry["shape"]) * item_bytes != stop - start:
        msg = f"tensor {name!r:.80} has a shape that does not fit its {stop - start} bytes"
        raise ValueError(msg)
    return start, stop


def _checked_offsets(name: str, offsets: Any) -> tuple[int, int]:
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        msg = f"tensor {name!r:.80} has impossible offsets"
        raise ValueError(msg)
    return offsets[0], offsets[1]


def _n_elements(name: str, shape: Any) -> int:
    # Zeros count as ones in the bound: an empty tensor must not smuggle in an absurd shape.
    if (
        not _is_sizes(shape)
        or len(shape) > _MAX_DIMS
        or math.prod(max(n, 1) for n in shape) > _MAX_ELEMENTS
    ):
        msg = f"tensor {name!r:.80} has an impossible shape"
        raise ValueError(msg)
    return math.prod(shape)


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
