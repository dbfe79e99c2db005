"""The torch modules: inference, generative model and loss."""

from ._alignment import DomainAlignment
from ._domain_vae import EXPRESSION, EXTRA_DOMAINS_KEY, DomainVAE, Embedding
from ._fast_inference import OPTIONAL_PARTS, RowReader
from ._likelihood import CountLikelihood, Likelihood, NormalLikelihood, build_likelihood
from ._modalities import Modalities
from ._modality import InputScale, Modality, ScalingStatistics, draw_latents, elbo_terms
from ._phenotype_heads import PhenotypeHeads, PhenotypeScores, heads_of, phenotype_scores

__all__ = [
    "EXPRESSION",
    "EXTRA_DOMAINS_KEY",
    "OPTIONAL_PARTS",
    "CountLikelihood",
    "DomainAlignment",
    "DomainVAE",
    "Embedding",
    "InputScale",
    "Likelihood",
    "Modalities",
    "Modality",
    "NormalLikelihood",
    "PhenotypeHeads",
    "PhenotypeScores",
    "RowReader",
    "ScalingStatistics",
    "build_likelihood",
    "draw_latents",
    "elbo_terms",
    "heads_of",
    "phenotype_scores",
]
