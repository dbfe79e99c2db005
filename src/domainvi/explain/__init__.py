"""The genes that a model's scores rest on."""

from ._deeplift import Paired
from ._explain import LATENTS, Explainable, Head, explain
from ._methods import METHODS, Method
from ._references import log_batches

__all__ = [
    "LATENTS",
    "METHODS",
    "Explainable",
    "Head",
    "Method",
    "Paired",
    "explain",
    "log_batches",
]
