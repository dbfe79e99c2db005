"""How models are trained."""

from ._anchor import Anchor, fit_anchor
from ._centring import Centring, fit_centring
from ._extend import extended_tables
from ._initialise import (
    class_support,
    initialise,
    log_rows,
    set_library,
    source_domains,
    subsample,
)
from ._plan import DomainTrainingPlan
from ._processes import is_main_process, trainer_arguments
from ._schedule import cosine, ramp
from ._tables import TrainingRows

__all__ = [
    "Anchor",
    "Centring",
    "DomainTrainingPlan",
    "TrainingRows",
    "class_support",
    "cosine",
    "extended_tables",
    "fit_anchor",
    "fit_centring",
    "initialise",
    "is_main_process",
    "log_rows",
    "ramp",
    "set_library",
    "source_domains",
    "subsample",
    "trainer_arguments",
]
