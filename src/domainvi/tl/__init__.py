"""Functions on AnnData that need no model, or compare several.

``__all__`` names what users call. The other names serve the command line and the benchmarks.
"""

from domainvi.trust import Audit

from ._audit import audit_confounding
from ._baselines import BASELINES, TransferData, lr_source, lr_z, standardise
from ._benchmark import benchmark
from ._phenotypes import score_probabilities
from ._protocols import Draw, Protocol, draw_per_class
from ._report import report

__all__ = ["Audit", "audit_confounding", "benchmark", "report"]
