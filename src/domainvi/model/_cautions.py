"""What speaks against predictions, in sentences with figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domainvi import _keys as keys
from domainvi.trust import Flagged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._annotation import AnnotationMixin

# Rows under this probability of their class are called unsure.
UNSURE = 0.6
# Shares of unsure rows, and of the un-adapted classifier's vote, above which a caution is given.
_MANY_UNSURE, _MANY_TWIN = 0.2, 0.3


def annotated_rows(obs: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return label, confidence and p-value of annotated rows."""
    return pd.DataFrame(
        {
            "label": obs[keys.prediction(key)],
            "confidence": obs[keys.confidence(key)].astype(float),
            "unknown": obs[keys.unknown(key)].astype(float),
        }
    )


def find_cautions(
    model: AnnotationMixin, rows: pd.DataFrame, summary: dict[str, Any]
) -> NDArray[np.str_]:
    """Say what speaks against trusting the predictions, each with its figures.

    Parameters
    ----------
    model
        The model that predicted.
    rows
        What :func:`annotated_rows` returned.
    summary
        What `annotate` writes to ``uns``.

    Returns
    -------
    Sentences, as text that h5ad can hold; none where nothing was found.
    """
    found = []
    if model.guard_.get("alignment") == "off":
        found.append("Alignment is off, because the audit refused it.")
    found += [str(sentence) for sentence in model.audit_.get("nested", [])]
    found += cautions_of_rows(rows)
    twin = float(model.guard_.get(keys.BASELINE_SHARE, 0.0))
    if twin > _MANY_TWIN:
        found.append(
            f"Two readings of the target disagree on many rows, so {twin:.0%} of the vote stays "
            "with a classifier that was not adapted to it. Labels may be wrong and confidence too "
            "high: check some rows, or label a few of each class."
        )
    missing = len(model.genes) - int(summary.get("genes_matched", len(model.genes)))
    if missing:
        found.append(f"{missing} of the model's {len(model.genes)} genes are missing here.")
    return np.array(found, dtype=str)


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
