"""Functions on AnnData that need no model, or compare several."""

from domainvi.tl._audit import audit_confounding
from domainvi.tl._benchmark import benchmark
from domainvi.tl._report import report
from domainvi.trust import Audit

__all__ = ["Audit", "audit_confounding", "benchmark", "report"]
