"""Tensors in, tensors out: the networks and the losses on them."""

from ._adversary import DomainAdversary, balanced_domain_loss, shared_class_weight
from ._experts import product_of_experts
from ._gradient_reversal import reverse_gradient
from ._linear import LinearEnsemble
from ._networks import NO_DECAY, Classifier, Decoder, GaussianEncoder, one_hot
from ._standardise import Standardiser, log_normalise
from ._wasserstein import Critic, critic_loss, encoder_loss, gradient_penalty

__all__ = [
    "NO_DECAY",
    "Classifier",
    "Critic",
    "Decoder",
    "DomainAdversary",
    "GaussianEncoder",
    "LinearEnsemble",
    "Standardiser",
    "balanced_domain_loss",
    "critic_loss",
    "encoder_loss",
    "gradient_penalty",
    "log_normalise",
    "one_hot",
    "product_of_experts",
    "reverse_gradient",
    "shared_class_weight",
]
