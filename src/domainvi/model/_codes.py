"""Codes of registered columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scvi.data import AnnDataManager


def codes(manager: AnnDataManager, key: str) -> NDArray[np.int64]:
    """Integer codes of a registered column, shape ``(n_rows,)``."""
    return np.asarray(manager.get_from_registry(key)).ravel().astype(np.int64)
