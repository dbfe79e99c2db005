"""Label transfer across RNA-seq cohorts that tells you when not to trust it."""

from importlib.metadata import version

from . import data, errors, metrics, tl
from .model import DomainVI

__version__ = version("domainvi")

__all__ = ["DomainVI", "data", "errors", "metrics", "tl"]
