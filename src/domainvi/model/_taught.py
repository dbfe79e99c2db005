"""Which rows taught a model: told by their names where the rows themselves are not at hand."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

N_BYTES = 8


def fingerprints(names: Iterable[Any]) -> NDArray[np.int64]:
    """Eight bytes for each name, the same on every machine.

    Examples
    --------
    >>> int(fingerprints(["a", "b"])[0]) == int(fingerprints(["a"])[0])
    True
    """
    hashes = (
        blake2b(str(name).encode("utf-8", "surrogatepass"), digest_size=N_BYTES).digest()
        for name in names
    )
    return np.frombuffer(b"".join(hashes), dtype="<i8").astype(np.int64)


def checked(found: NDArray[Any]) -> NDArray[np.int64]:
    """Refuse what cannot be fingerprints from a file."""
    if found.dtype != np.int64 or found.ndim != 1:
        msg = f"names of the rows that taught are {found.dtype} of {found.ndim} dimensions"
        raise ValueError(msg)
    return found
