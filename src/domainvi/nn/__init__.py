"""Tensors in, tensors out: the networks and the losses on them."""

from ._adversary import DomainAdversary, balanced_cross_entropy, shared_class_weight
from ._contrastive import byol_loss, follow, info_nce, vime_loss
from ._corruption import draw_donors, draw_mask, swap_counts, swap_values, uniform_values
from ._deeplift import Paired
from ._experts import product_of_experts
from ._folded import FoldedMaps, InputMap
from ._gradient_reversal import reverse_gradient
from ._linear import LinearEnsemble, class_log_softmax
from ._named import NamedModules, inner_name
from ._networks import NO_DECAY, Classifier, Decoder, GaussianEncoder, one_hot
from ._representation import alignment, effective_rank, uniformity
from ._standardise import Standardiser, log_normalise
from ._wasserstein import Critic, critic_loss, encoder_loss, gradient_penalty

__all__ = [
    "NO_DECAY",
    "Classifier",
    "Critic",
    "Decoder",
    "DomainAdversary",
    "FoldedMaps",
    "GaussianEncoder",
    "InputMap",
    "LinearEnsemble",
    "NamedModules",
    "Paired",
    "Standardiser",
    "alignment",
    "balanced_cross_entropy",
    "byol_loss",
    "class_log_softmax",
    "critic_loss",
    "draw_donors",
    "draw_mask",
    "effective_rank",
    "encoder_loss",
    "follow",
    "gradient_penalty",
    "info_nce",
    "inner_name",
    "log_normalise",
    "one_hot",
    "product_of_experts",
    "reverse_gradient",
    "shared_class_weight",
    "swap_counts",
    "swap_values",
    "uniform_values",
    "uniformity",
    "vime_loss",
]
