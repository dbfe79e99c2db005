"""May these labels be believed? Audit, calibration, unknown score, guard, cautions.

Arrays and tables in, numbers and sentences out; nothing here knows of AnnData or of the network.
"""

from ._audit import Audit, audit_arrays, probe_components
from ._calibration import Calibrator, UnknownScorer, fit_calibrator
from ._guard import (
    UNSURE,
    Flagged,
    GuardRecord,
    agreement,
    annotated_rows,
    cautions_of_rows,
    find_cautions,
)

__all__ = [
    "UNSURE",
    "Audit",
    "Calibrator",
    "Flagged",
    "GuardRecord",
    "UnknownScorer",
    "agreement",
    "annotated_rows",
    "audit_arrays",
    "cautions_of_rows",
    "find_cautions",
    "fit_calibrator",
    "probe_components",
]
