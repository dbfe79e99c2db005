"""How models are trained."""

from ._anchor import Anchor, fit_anchor
from ._centring import Centring, fit_centring
from ._checkpoint import CheckpointFiles, has_checkpoint, read_checkpoint
from ._extend import extended_tables
from ._initialise import (
    class_support,
    initialise,
    log_rows,
    set_library,
    source_domains,
    subsample,
)
from ._interrupt import interruptible
from ._keeper import Keeper
from ._plan import DomainTrainingPlan
from ._randomness import seeded
from ._schedule import cosine, ramp
from ._tables import TrainingRows

__all__ = [
    "Anchor",
    "Centring",
    "CheckpointFiles",
    "DomainTrainingPlan",
    "Keeper",
    "TrainingRows",
    "class_support",
    "cosine",
    "extended_tables",
    "fit_anchor",
    "fit_centring",
    "has_checkpoint",
    "initialise",
    "interruptible",
    "log_rows",
    "ramp",
    "read_checkpoint",
    "seeded",
    "set_library",
    "source_domains",
    "subsample",
]
