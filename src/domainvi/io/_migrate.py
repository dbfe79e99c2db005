"""Older schema versions, brought up to date one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from domainvi.io._faults import fault, reason

if TYPE_CHECKING:
    from pathlib import Path

    import torch

SCHEMA_VERSION = 1

Migration = Callable[
    [dict[str, Any], dict[str, Any]],
    tuple[dict[str, Any], dict[str, Any]],
]

# MIGRATIONS[n] takes (tensors, metadata) of schema version n and returns those of version n + 1.
MIGRATIONS: dict[int, Migration] = {}


def migrate(
    path: Path, version: int, tensors: dict[str, torch.Tensor], metadata: dict[str, Any]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Apply every step from `version` to the current one."""
    for step in range(version, SCHEMA_VERSION):
        if step not in MIGRATIONS:
            raise fault(
                path,
                f"has schema version {step}, which this installation no longer reads",
                "Load and save it once with an older DomainVI.",
            )
        try:
            tensors, metadata = MIGRATIONS[step](tensors, metadata)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise fault(
                path,
                f"cannot be brought from schema version {step} to {step + 1}: {reason(error)}",
                "Load and save it once with the DomainVI that wrote it.",
            ) from error
    return tensors, metadata
