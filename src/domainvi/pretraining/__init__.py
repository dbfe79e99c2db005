"""Encoders that learn from rows without labels, or are taken from a saved model."""

from ._encoder import start_from
from ._pretrain import Pretrainable, pretrain, pretrained_representation, start_classifier
from ._settings import PretrainingRecord, PretrainingSettings, full_history

__all__ = [
    "Pretrainable",
    "PretrainingRecord",
    "PretrainingSettings",
    "full_history",
    "pretrain",
    "pretrained_representation",
    "start_classifier",
    "start_from",
]
