"""DisentangledVI, a model of its own: latents and expression split by groups of metadata."""

from ._erasure import fit_erasure, reset_erasure
from ._fit import DisentangledFit
from ._independence import IndependenceTerms
from ._model import DisentangledVI
from ._module import DisentangledVAE
from ._training import DisentangledTrainingPlan

__all__ = [
    "DisentangledFit",
    "DisentangledTrainingPlan",
    "DisentangledVAE",
    "DisentangledVI",
    "IndependenceTerms",
    "fit_erasure",
    "reset_erasure",
]
