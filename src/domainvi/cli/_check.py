"""The command ``domainvi check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from domainvi.errors import InputError

from ._files import check_inputs, read
from ._options import Data, Json, Layer, Modality, Unlabeled
from ._results import Results, reporting

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def check(
    *paths: Data,
    batch: Annotated[str | None, Parameter(help="Column of obs that names the cohort.")] = None,
    labels: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="Column of obs with the phenotype; one for all files, or one for each; "
            "the last, a query, needs none of its own.",
        ),
    ] = None,
    layer: Layer = None,
    modality: Modality = None,
    unlabeled: Unlabeled = "Unknown",
    as_json: Json = False,
) -> None:
    """Say what is in files: format, scale, gene names, columns, and what would be refused.

    Ends with status 0 when every file can be read, also if something in it would be refused.
    Of several files, it says how many genes all of them have.

    Example: `domainvi check a.h5ad b.h5ad --batch cohort --labels cell_type`
    """
    if not paths:
        msg = "check needs at least one file. Pass their names, such as domainvi check a.h5ad."
        raise InputError(msg)
    check_inputs(*paths)
    with reporting(as_json) as say:
        from domainvi import data, files

        columns: Sequence[str | None] = [None] * len(paths)
        if labels is not None:
            # As of transfer: without a column of its own, the query has that of the first.
            n_queries = int(len(labels) > 1 and len(labels) == len(paths) - 1)
            columns = data.label_columns([*labels, *labels[:n_queries]], len(paths))
        genes = {}
        for path, column in zip(paths, columns, strict=True):
            adata = read(path, modality, [key for key in (batch, column) if key is not None])
            facts = files.describe(
                adata, path, batch=batch, labels=column, layer=layer, unlabeled=unlabeled
            )
            say("\n".join(_lines(facts)), files=[facts])
            genes[str(path)] = adata.var
        if len(genes) > 1:
            _say_shared(say, genes)


def _say_shared(say: Results, genes: dict[str, pd.DataFrame]) -> None:
    """Say how many genes all files have, or why they cannot be joined."""
    from domainvi.data import shared_genes

    try:
        n = len(next(iter(shared_genes(genes).values())))
    except InputError as error:
        say(f"together: refused: {error}", together={"refused": str(error)})
    else:
        say(f"together: {n} genes are in all {len(genes)} files", together={"genes": n})


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
