"""The record of the guard, which keeps alignment off where it may harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domainvi._checks import FloatArray

Alignment = Literal["as set up", "off"]


@dataclass(frozen=True, eq=False)
class GuardRecord:
    """What the guard decided for a model, and on what evidence.

    Parameters
    ----------
    alignment
        ``"off"`` where the audit refused it; otherwise ``"as set up"``.
    reason
        The sentence of the audit; empty without an audit.
    agreement
        Cohen's kappa of two views of the target; ``None`` where they were not compared.
    row_wise_share
        Share of experts that read one row at a time in what the classifiers were taught about the
        target, mean over its rows.
    target_class_prior
        Class proportions that were estimated for domains of which some rows are labelled, and that
        predictions there are corrected for, shape (domains, classes); NaN for the other domains,
        ``None`` where none was estimated.

    Examples
    --------
    >>> GuardRecord(agreement=0.75, row_wise_share=0.64).evidence
    "Views of the target by its own rows and by the source's agree at 0.75 (Cohen's kappa); experts
    that read one row at a time have 64% of the vote."
    """

    alignment: Alignment = "as set up"
    reason: str = ""
    agreement: float | None = None
    row_wise_share: float = 0.0
    target_class_prior: FloatArray | None = None

    @property
    def evidence(self) -> str:
        """What the guard saw of the target, in one sentence."""
        views = "Views of the target by its own rows and by the source's"
        if self.agreement is None:
            return (
                f"{views} were not compared: no linear members, no unlabelled target, or labels "
                "enough in the target."
            )
        return (
            f"{views} agree at {self.agreement:.2f} (Cohen's kappa); experts that read one row at "
            f"a time have {self.row_wise_share:.0%} of the vote."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what h5ad can hold: the fields that are not ``None``, and the evidence."""
        return {k: v for k, v in vars(self).items() if v is not None} | {"evidence": self.evidence}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GuardRecord:
        """Return the record that :meth:`to_dict` described, also after h5ad."""
        agreement, prior = values.get("agreement"), values.get("target_class_prior")
        return cls(
            alignment="off" if values.get("alignment") == "off" else "as set up",
            reason=str(values.get("reason", "")),
            agreement=None if agreement is None else float(agreement),
            row_wise_share=float(values.get("row_wise_share", 0.0)),
            target_class_prior=None if prior is None else np.asarray(prior, dtype=np.float64),
        )
