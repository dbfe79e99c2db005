"""Whether to trust a transferred label: calibration, changed class mix, unknown classes, harm.

Arrays in, arrays out; nothing here knows of AnnData or of the network.
"""

from domainvi.trust._calibration import Calibrator, fit_calibrator
from domainvi.trust._flagged import Flagged
from domainvi.trust._guard import GuardDecision, guard_decision, guard_evidence, separation
from domainvi.trust._prior import PriorEstimate, adjust_probs, estimate_prior
from domainvi.trust._unknown import UnknownScorer

__all__ = [
    "Calibrator",
    "Flagged",
    "GuardDecision",
    "PriorEstimate",
    "UnknownScorer",
    "adjust_probs",
    "estimate_prior",
    "fit_calibrator",
    "guard_decision",
    "guard_evidence",
    "separation",
]
