"""Functions on AnnData that need no model, or compare several."""

from domainvi.trust import Audit

from ._audit import audit_confounding
from ._baselines import TransferData, lr_source, lr_z
from ._benchmark import benchmark
from ._protocols import Protocol
from ._report import report

__all__ = ["Audit", "audit_confounding", "benchmark", "report"]
