"""Losses of the classifier: by labels, and by the linear members where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    import torch


def classification_loss(
    logits: torch.Tensor, label: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Mean cross-entropy of the labelled rows; 0 when the batch has none."""
    # Sums over all rows, since to pick the labelled ones would wait for the device.
    total = functional.cross_entropy(
        logits, label, ignore_index=-1, reduction="sum", label_smoothing=label_smoothing
    )
    return total / (label >= 0).sum().clamp_min(1)


def teaching_loss(
    logits: torch.Tensor, label: torch.Tensor, teacher: torch.Tensor | None
) -> torch.Tensor:
    """Mean cross-entropy of unlabelled rows to the linear members' probabilities."""
    if teacher is None:
        return logits.new_zeros(())
    unknown = label < 0
    cross_entropy = -(teacher * functional.log_softmax(logits, dim=1)).sum(dim=1)
    return (cross_entropy * unknown).sum() / unknown.sum().clamp_min(1)
