"""May these labels be believed? Audit, calibration, unknown score, guard, cautions.

Arrays and tables in, numbers and sentences out; nothing here knows of AnnData or of the network.
"""

from ._audit import Audit, audit_arrays, probe_components
from ._calibration import Calibrator, fit_calibrator, row_softmax
from ._cautions import (
    CODES,
    SMALL_COHORT,
    UNSURE,
    Caution,
    Flagged,
    annotated_rows,
    cautions_of_rows,
    find_cautions,
    texts,
)
from ._guard import GuardRecord
from ._sets import PredictionSets, check_set_alpha, rows_needed
from ._suggest import suggest_rows
from ._unknown import UnknownScorer, deal_folds

__all__ = [
    "UNSURE",
    "Audit",
    "Calibrator",
    "Caution",
    "Flagged",
    "GuardRecord",
    "PredictionSets",
    "UnknownScorer",
    "annotated_rows",
    "audit_arrays",
    "cautions_of_rows",
    "check_set_alpha",
    "deal_folds",
    "find_cautions",
    "fit_calibrator",
    "probe_components",
    "row_softmax",
    "rows_needed",
    "suggest_rows",
]
