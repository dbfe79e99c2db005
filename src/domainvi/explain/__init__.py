"""The genes that a model's scores rest on."""

from ._deeplift import Paired
from ._explain import explain
from ._heads import LATENTS, Explainable, Head, HeadOf, log_batches
from ._methods import METHODS, Method

__all__ = [
    "LATENTS",
    "METHODS",
    "Explainable",
    "Head",
    "HeadOf",
    "Method",
    "Paired",
    "explain",
    "log_batches",
]
