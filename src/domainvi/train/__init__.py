"""How models are trained."""

from ._best_weights import BestWeights, interruptible
from ._checkpoint import CheckpointFiles, has_checkpoint, read_checkpoint
from ._game import DomainGame
from ._new_cohorts import extend_statistics
from ._plan import MAX_GRADIENT_NORM, DomainTrainingPlan, cosine, own_rate, parameter_groups, ramp
from ._processes import (
    chosen_seed,
    is_distributed,
    is_main_process,
    quiet,
    seeded,
    trainer_arguments,
)
from ._start import (
    initialise,
    log_rows,
    log_values,
    modalities_of,
    set_library,
    set_mean_profiles,
    set_projection,
)
from ._trainer import callbacks_in, check_trainer_arguments

__all__ = [
    "MAX_GRADIENT_NORM",
    "BestWeights",
    "CheckpointFiles",
    "DomainGame",
    "DomainTrainingPlan",
    "callbacks_in",
    "check_trainer_arguments",
    "chosen_seed",
    "cosine",
    "extend_statistics",
    "has_checkpoint",
    "initialise",
    "interruptible",
    "is_distributed",
    "is_main_process",
    "log_rows",
    "log_values",
    "modalities_of",
    "own_rate",
    "parameter_groups",
    "quiet",
    "ramp",
    "read_checkpoint",
    "seeded",
    "set_library",
    "set_mean_profiles",
    "set_projection",
    "trainer_arguments",
]
