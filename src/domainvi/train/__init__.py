"""How models are trained."""

from ._anchor import Anchor, fit_anchor
from ._centring import Centring, fit_centring
from ._disentangled import DisentangledTrainingPlan, start_disentangled
from ._erasure import Concept, erasure_map
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
from ._schedule import cosine, ramp
from ._tables import TrainingRows

__all__ = [
    "Anchor",
    "Centring",
    "Concept",
    "DisentangledTrainingPlan",
    "DomainTrainingPlan",
    "TrainingRows",
    "class_support",
    "cosine",
    "erasure_map",
    "extended_tables",
    "fit_anchor",
    "fit_centring",
    "initialise",
    "log_rows",
    "ramp",
    "set_library",
    "source_domains",
    "start_disentangled",
    "subsample",
]
