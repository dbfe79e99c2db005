"""The command ``domainvi check``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from domainvi.errors import InputError

from ._files import check_inputs
from ._options import Data, Json, Layer, Modality, Unlabeled
from ._results import reporting


def check(
    *paths: Data,
    batch: Annotated[str | None, Parameter(help="Column of obs that names the cohort.")] = None,
    labels: Annotated[str | None, Parameter(help="Column of obs with the phenotype.")] = None,
    layer: Layer = None,
    modality: Modality = None,
    unlabeled: Unlabeled = "Unknown",
    as_json: Json = False,
) -> None:
    """Say what is in files: format, scale, gene names, columns, and what would be refused.

    Ends with status 0 when every file can be read, also if something in it would be refused.

    Example: `domainvi check a.h5ad b.h5ad --batch cohort --labels cell_type`
    """
    if not paths:
        msg = "check needs at least one file. Pass their names, such as domainvi check a.h5ad."
        raise InputError(msg)
    check_inputs(*paths)
    with reporting(as_json) as say:
        from domainvi import files

        for path in paths:
            facts = files.describe(
                path,
                batch=batch,
                labels=labels,
                layer=layer,
                unlabeled=unlabeled,
                modality=modality,
            )
            say("\n".join(_lines(facts)), files=[facts])


def _lines(facts: dict[str, Any]) -> list[str]:
    """One screen for a file."""
    forms = ", ".join(f"{n} {form}" for form, n in facts["gene_names"].items())
    lines = [
        f"{facts['file']}: {facts['format']}, {facts['rows']} rows x {facts['genes']} genes",
        f"  values: {facts['values']}",
        f"  layers: {', '.join(facts['layers']) or 'none'}",
        f"  gene names: {forms or 'none'}",
    ]
    for key, levels in list(facts["columns"].items())[:12]:
        shown = ", ".join(f"{name} {n}" for name, n in list(levels.items())[:8])
        lines.append(f"  obs[{key!r}]: {shown}{' ...' if len(levels) > 8 else ''}")
    lines += [f"  remark: {sentence}" for sentence in facts["remarks"]]
    return [*lines, f"  refused: {facts['refused'] or 'nothing'}"]
