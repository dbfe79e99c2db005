"""Tensors in, tensors out: the networks and the losses on them."""

from ._adversary import DomainAdversary, balanced_domain_loss, shared_class_weight
from ._folded import FoldedMaps, InputMap, csr_tensor
from ._gradient_reversal import reverse_gradient
from ._linear import LinearEnsemble, class_log_softmax
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
    "Standardiser",
    "balanced_domain_loss",
    "class_log_softmax",
    "critic_loss",
    "csr_tensor",
    "encoder_loss",
    "gradient_penalty",
    "log_normalise",
    "one_hot",
    "reverse_gradient",
    "shared_class_weight",
]
