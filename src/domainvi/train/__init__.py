"""How models are trained."""

from ._checkpoint import CheckpointFiles, has_checkpoint, read_checkpoint
from ._disentangled import DisentangledTrainingPlan, start_disentangled
from ._erasure import Concept, erasure_map
from ._interrupt import interruptible
from ._keeper import Keeper
from ._plan import DomainTrainingPlan
from ._pretrained import adopt_encoder, settle_latents, start_classifier
from ._pretraining_plan import PretrainingPlan, is_collapsed
from ._pretraining_rows import pooled_loader
from ._pretraining_settings import PretrainingSettings, pretraining_settings
from ._processes import is_distributed, is_main_process, trainer_arguments
from ._randomness import seeded
from ._schedule import cosine, ramp
from ._start import (
    extend_statistics,
    initialise,
    log_rows,
    set_library,
    set_mean_profiles,
    set_projection,
    size_factors,
)

__all__ = [
    "CheckpointFiles",
    "Concept",
    "DisentangledTrainingPlan",
    "DomainTrainingPlan",
    "Keeper",
    "PretrainingPlan",
    "PretrainingSettings",
    "adopt_encoder",
    "cosine",
    "erasure_map",
    "extend_statistics",
    "has_checkpoint",
    "initialise",
    "interruptible",
    "is_collapsed",
    "is_distributed",
    "is_main_process",
    "log_rows",
    "pooled_loader",
    "pretraining_settings",
    "ramp",
    "read_checkpoint",
    "seeded",
    "set_library",
    "set_mean_profiles",
    "set_projection",
    "settle_latents",
    "size_factors",
    "start_classifier",
    "start_disentangled",
    "trainer_arguments",
]
