"""How models are trained."""

from ._anchor import Anchor, fit_anchor
from ._centring import Centring, fit_centring
from ._checkpoint import CheckpointFiles, has_checkpoint, read_checkpoint
from ._extend import extended_tables
from ._initialise import (
    class_support,
    initialise,
    leading_genes,
    log_rows,
    set_baseline,
    set_library,
    set_projection,
    size_factors,
    source_domains,
    subsample,
)
from ._interrupt import interruptible
from ._keeper import Keeper
from ._plan import DomainTrainingPlan, own_rate, parameter_groups
from ._pretrained import adopt_encoder, settle_latents, start_classifier
from ._pretraining_plan import PretrainingPlan, is_collapsed
from ._pretraining_rows import pooled_loader
from ._pretraining_settings import PretrainingSettings, pretraining_settings
from ._processes import is_distributed, is_main_process, trainer_arguments
from ._randomness import seeded
from ._schedule import cosine, ramp
from ._tables import TrainingRows, domain_table
from ._targets import LinearTarget, fit_classes, fit_numbers

__all__ = [
    "Anchor",
    "Centring",
    "CheckpointFiles",
    "DomainTrainingPlan",
    "Keeper",
    "LinearTarget",
    "PretrainingPlan",
    "PretrainingSettings",
    "TrainingRows",
    "adopt_encoder",
    "class_support",
    "cosine",
    "domain_table",
    "extended_tables",
    "fit_anchor",
    "fit_centring",
    "fit_classes",
    "fit_numbers",
    "has_checkpoint",
    "initialise",
    "interruptible",
    "is_collapsed",
    "is_distributed",
    "is_main_process",
    "leading_genes",
    "log_rows",
    "own_rate",
    "parameter_groups",
    "pooled_loader",
    "pretraining_settings",
    "ramp",
    "read_checkpoint",
    "seeded",
    "set_baseline",
    "set_library",
    "set_projection",
    "settle_latents",
    "size_factors",
    "source_domains",
    "start_classifier",
    "subsample",
    "trainer_arguments",
]
