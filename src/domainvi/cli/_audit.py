"""The command ``domainvi audit``."""

from __future__ import annotations

from ._files import naming, read
from ._options import Batch, Data, Json, Labels, Layer, Unlabeled
from ._results import reporting


def audit(
    data: Data,
    /,
    *,
    batch: Batch,
    labels: Labels,
    layer: Layer = None,
    unlabeled: Unlabeled = "Unknown",
    as_json: Json = False,
) -> None:
    """Say, before training, whether labels can be transferred between cohorts.

    Counts classes by cohort, measures how far they go together, and gives the verdict: alignment
    allowed, conditional only (within classes), or refused. Writes no file.
    """
    with reporting(as_json) as say:
        from domainvi.tl import audit_confounding

        adata = read(data)
        with naming(data):
            found = audit_confounding(
                adata,
                batch_key=batch,
                labels_key=labels,
                unlabeled_category=unlabeled,
                layer=layer,
            )
        import pandas as pd

        table = pd.DataFrame(found.table, index=found.classes, columns=found.domains)
        table.loc["(unlabelled)"] = found.n_unlabelled
        say(str(found), **found.to_dict() | {"table": table.to_dict("index")})
        say(f"verdict: {found.verdict}")
        say(f"\nrows by {labels} and {batch}:\n{table.to_string()}")
