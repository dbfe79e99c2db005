"""Tensors in, tensors out: the networks and the losses on them."""

from ._adversary import DomainAdversary, balanced_cross_entropy, shared_class_weight
from ._experts import product_of_experts
from ._folded import FoldedMaps, InputMap
from ._gradient_reversal import reverse_gradient
from ._linear import LinearEnsemble, class_log_softmax
from ._named import NamedModules, inner_name
from ._networks import NO_DECAY, Classifier, Decoder, GaussianEncoder, one_hot
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
    "Standardiser",
    "balanced_cross_entropy",
    "class_log_softmax",
    "critic_loss",
    "encoder_loss",
    "gradient_penalty",
    "inner_name",
    "log_normalise",
    "one_hot",
    "product_of_experts",
    "reverse_gradient",
    "shared_class_weight",
]
