"""How models are trained."""

from ._anchor import Anchor, fit_anchor
from ._centring import Centring, fit_centring
from ._extend import extended_tables
from ._initialise import (
    class_support,
    initialise,
    leading_genes,
    log_rows,
    set_library,
    source_domains,
    subsample,
)
from ._plan import DomainTrainingPlan
from ._schedule import cosine, ramp
from ._tables import TrainingRows
from ._targets import LinearTarget, fit_classes, fit_numbers

__all__ = [
    "Anchor",
    "Centring",
    "DomainTrainingPlan",
    "LinearTarget",
    "TrainingRows",
    "class_support",
    "cosine",
    "extended_tables",
    "fit_anchor",
    "fit_centring",
    "fit_classes",
    "fit_numbers",
    "initialise",
    "leading_genes",
    "log_rows",
    "ramp",
    "set_library",
    "source_domains",
    "subsample",
]
