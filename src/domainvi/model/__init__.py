"""The model that a user meets first, and what a second model shares with it.

``__all__`` names what users call. The other names serve models in folders of their own.
"""

from ._annotate import finest_predictions as finest_predictions
from ._base import CohortModel as CohortModel
from ._diagnosis import rows_without_label as rows_without_label
from ._domainvi import DomainVI
from ._posthoc import fit_calibration as fit_calibration
from ._query import all_row_ids as all_row_ids
from ._running import checkpoint_files as checkpoint_files
from ._running import run_training as run_training
from ._training import check_training_arguments as check_training_arguments

__all__ = ["DomainVI"]
