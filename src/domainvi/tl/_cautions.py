"""What speaks against predictions, in sentences with figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from domainvi import _keys as keys
from domainvi.trust import Flagged

if TYPE_CHECKING:
    from anndata import AnnData

    from domainvi import DomainVI

# Rows under this probability of their class are called unsure.
UNSURE = 0.6
# Shares of unsure rows, and of the un-adapted classifier's vote, above which a caution is given.
_MANY_UNSURE, _MANY_TWIN = 0.2, 0.3


def annotated_rows(adata: AnnData, key: str) -> pd.DataFrame:
    """Return label, confidence and p-value of annotated rows."""
    return pd.DataFrame(
        {
            "label": adata.obs[keys.prediction(key)],
            "confidence": adata.obs[keys.confidence(key)].astype(float),
            "unknown": adata.obs[keys.unknown(key)].astype(float),
        }
    )


def find_cautions(model: DomainVI, rows: pd.DataFrame, summary: dict[str, Any]) -> list[str]:
    """Say what speaks against trusting the predictions, each with its figures.

    Parameters
    ----------
    model
        The model that predicted.
    rows
        What :func:`annotated_rows` returned.
    summary
        What `annotate` wrote to ``uns``.
    """
    found = []
    if model.guard_.get("alignment") == "off":
        found.append("Alignment is off, because the audit refused it.")
    found += [str(sentence) for sentence in model.audit_.get("nested", [])]
    found += cautions_of_rows(rows)
    twin = float(model.guard_.get("twin_share", 0.0))
    if twin > _MANY_TWIN:
        found.append(
            f"Two readings of the target disagree on many rows; the un-adapted classifier keeps "
            f"{twin:.0%} of the vote."
        )
    missing = len(model.genes) - int(summary.get("genes_matched", len(model.genes)))
    if missing:
        found.append(f"{missing} of the model's {len(model.genes)} genes are missing here.")
    return found


def cautions_of_rows(rows: pd.DataFrame) -> list[str]:
    """Say what confidence and p-values of rows speak against."""
    found = []
    flagged = Flagged.count(rows["unknown"])
    if flagged.is_many:
        found.append(
            f"{flagged.found} of {flagged.tested} rows fit no known class at p ≤ {flagged.alpha}, "
            f"where chance gives {flagged.expected:.0f}. The reference may lack classes."
        )
    if not flagged.tested:
        found.append("Rows of unknown classes could not be looked for: too few labels.")
    unsure = float((rows["confidence"] < UNSURE).mean())
    if unsure > _MANY_UNSURE:
        found.append(f"{unsure:.0%} of the rows have a confidence under {UNSURE}.")
    return found
