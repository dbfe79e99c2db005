"""Tensors in, tensors out: the networks and the losses on them."""

from ._adversary import (
    DomainAdversary,
    balanced_cross_entropy,
    reverse_gradient,
    shared_class_weight,
    weighted_cross_entropy,
    within_class_weight,
)
from ._clamped_product import ClampedProduct
from ._experts import product_of_experts
from ._linear import CLIP, LinearEnsemble, Standardiser, class_log_softmax, log_normalise
from ._networks import (
    NO_DECAY,
    Classifier,
    Decoder,
    GaussianEncoder,
    classification_loss,
    one_hot,
    standardise_columns,
    teaching_loss,
)
from ._referee import within_class_probe
from ._wasserstein import Critic, critic_loss, encoder_loss, gradient_penalty

__all__ = [
    "CLIP",
    "NO_DECAY",
    "ClampedProduct",
    "Classifier",
    "Critic",
    "Decoder",
    "DomainAdversary",
    "GaussianEncoder",
    "LinearEnsemble",
    "Standardiser",
    "balanced_cross_entropy",
    "class_log_softmax",
    "classification_loss",
    "critic_loss",
    "encoder_loss",
    "gradient_penalty",
    "log_normalise",
    "one_hot",
    "product_of_experts",
    "reverse_gradient",
    "shared_class_weight",
    "standardise_columns",
    "teaching_loss",
    "weighted_cross_entropy",
    "within_class_probe",
    "within_class_weight",
]
