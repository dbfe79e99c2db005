"""Plots of data, training and results; each returns the axes it drew on."""

from ._attribution import attribution
from ._audit import audit
from ._benchmark import benchmark
from ._calibration import calibration
from ._confusion import confusion
from ._disentangled import leakage, variance_shares
from ._label_flow import label_flow
from ._latent import latent
from ._training_curves import training_curves

__all__ = [
    "attribution",
    "audit",
    "benchmark",
    "calibration",
    "confusion",
    "label_flow",
    "latent",
    "leakage",
    "training_curves",
    "variance_shares",
]
