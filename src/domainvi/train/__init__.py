"""How models are trained."""

from ._anchor import Anchor, fit_anchor
from ._centring import Centring, fit_centring
from ._checkpoint import CheckpointFiles, has_checkpoint, read_checkpoint
from ._disentangled import DisentangledTrainingPlan, start_disentangled
from ._erasure import Concept, erasure_map
from ._extend import extended_tables
from ._initialise import (
    class_support,
    initialise,
    leading_genes,
    log_rows,
    set_library,
    size_factors,
    source_domains,
    subsample,
)
from ._interrupt import interruptible
from ._keeper import Keeper
from ._plan import MAX_GRADIENT_NORM, DomainTrainingPlan, parameter_groups
from ._processes import is_distributed, is_main_process, trainer_arguments
from ._randomness import seeded
from ._schedule import cosine, ramp
from ._tables import TrainingRows
from ._targets import LinearTarget, fit_classes, fit_numbers
from ._views import logistic

__all__ = [
    "MAX_GRADIENT_NORM",
    "Anchor",
    "Centring",
    "CheckpointFiles",
    "Concept",
    "DisentangledTrainingPlan",
    "DomainTrainingPlan",
    "Keeper",
    "LinearTarget",
    "TrainingRows",
    "class_support",
    "cosine",
    "erasure_map",
    "extended_tables",
    "fit_anchor",
    "fit_centring",
    "fit_classes",
    "fit_numbers",
    "has_checkpoint",
    "initialise",
    "interruptible",
    "is_distributed",
    "is_main_process",
    "leading_genes",
    "log_rows",
    "logistic",
    "parameter_groups",
    "ramp",
    "read_checkpoint",
    "seeded",
    "set_library",
    "size_factors",
    "source_domains",
    "start_disentangled",
    "subsample",
    "trainer_arguments",
]
