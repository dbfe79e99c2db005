"""The torch modules: inference, generative model and loss."""

from ._alignment import DomainAlignment
from ._disentangled_vae import DisentangledVAE
from ._domain_vae import EXTRA_DOMAINS_KEY, DomainVAE
from ._ensemble import OPTIONAL_PARTS, Embedding, ScalingTables
from ._independence import INDEPENDENCE, Blocks, IndependenceTerms
from ._likelihood import CountLikelihood, Likelihood, NormalLikelihood
from ._multimodal_vae import MultimodalVAE
from ._reader import RowReader
from ._target_heads import TargetHeads, TargetScores

__all__ = [
    "EXTRA_DOMAINS_KEY",
    "INDEPENDENCE",
    "OPTIONAL_PARTS",
    "Blocks",
    "CountLikelihood",
    "DisentangledVAE",
    "DomainAlignment",
    "DomainVAE",
    "Embedding",
    "IndependenceTerms",
    "Likelihood",
    "MultimodalVAE",
    "NormalLikelihood",
    "RowReader",
    "ScalingTables",
    "TargetHeads",
    "TargetScores",
]
