"""Tensors in, tensors out: the networks and the losses on them."""

from ._adversary import DomainAdversary, balanced_domain_loss, shared_class_weight
from ._experts import product_of_experts
from ._folded import FoldedMaps, InputMap
from ._gradient_reversal import reverse_gradient
from ._independence import (
    JointDiscriminator,
    cross_covariance,
    hsic,
    shuffle_blocks,
    standardise_columns,
)
from ._linear import LinearEnsemble, class_log_softmax
from ._loadings import ModulatedLoadings
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
    "JointDiscriminator",
    "LinearEnsemble",
    "ModulatedLoadings",
    "NamedModules",
    "Standardiser",
    "balanced_domain_loss",
    "class_log_softmax",
    "critic_loss",
    "cross_covariance",
    "encoder_loss",
    "gradient_penalty",
    "hsic",
    "inner_name",
    "log_normalise",
    "one_hot",
    "product_of_experts",
    "reverse_gradient",
    "shared_class_weight",
    "shuffle_blocks",
    "standardise_columns",
]
