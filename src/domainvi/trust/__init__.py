"""Whether to trust a transferred label: calibration and unknown classes.

Arrays in, arrays out; nothing here knows of AnnData or of the network.
"""

from ._calibration import Calibrator, fit_calibrator
from ._flagged import Flagged
from ._unknown import UnknownScorer

__all__ = ["Calibrator", "Flagged", "UnknownScorer", "fit_calibrator"]
