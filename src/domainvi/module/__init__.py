"""The torch modules: inference, generative model and loss."""

from ._alignment import DomainAlignment
from ._domain_vae import EXTRA_DOMAINS_KEY, DomainVAE
from ._ensemble import OPTIONAL_PARTS, Embedding, ScalingTables
from ._likelihood import CountLikelihood, Likelihood, NormalLikelihood, build_likelihood
from ._multimodal_vae import MultimodalVAE
from ._reader import RowReader
from ._scaled import ExpressionModule
from ._target_heads import TargetHeads, TargetScores

__all__ = [
    "EXTRA_DOMAINS_KEY",
    "OPTIONAL_PARTS",
    "CountLikelihood",
    "DomainAlignment",
    "DomainVAE",
    "Embedding",
    "ExpressionModule",
    "Likelihood",
    "MultimodalVAE",
    "NormalLikelihood",
    "RowReader",
    "ScalingTables",
    "TargetHeads",
    "TargetScores",
    "build_likelihood",
]
