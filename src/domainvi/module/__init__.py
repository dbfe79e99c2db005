"""The torch modules: inference, generative model and loss."""

from ._alignment import DomainAlignment
from ._domain_vae import EXTRA_DOMAINS_KEY, DomainVAE
from ._ensemble import Embedding, ScalingTables
from ._likelihood import CountLikelihood, NormalLikelihood
from ._reader import RowReader

__all__ = [
    "EXTRA_DOMAINS_KEY",
    "CountLikelihood",
    "DomainAlignment",
    "DomainVAE",
    "Embedding",
    "NormalLikelihood",
    "RowReader",
    "ScalingTables",
]
