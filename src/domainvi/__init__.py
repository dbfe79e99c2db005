"""Label transfer across RNA-seq cohorts that tells you when not to trust it.

Subpackages are imported when they are first used, so that the command line can answer at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import data, errors, metrics, pl, tl
    from .disentangled import DisentangledVI
    from .model import DomainVI

    __version__: str

_MODELS = {"DisentangledVI": "disentangled", "DomainVI": "model"}
_NAMESPACES = frozenset({"data", "errors", "metrics", "pl", "tl"})

__all__ = ["DisentangledVI", "DomainVI", "data", "errors", "metrics", "pl", "tl"]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        value: Any = import_module(f"{__name__}.{name}")
    elif name in _MODELS:
        value = getattr(import_module(f"{__name__}.{_MODELS[name]}"), name)
    elif name == "__version__":
        value = import_module("importlib.metadata").version(__name__)
    else:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
