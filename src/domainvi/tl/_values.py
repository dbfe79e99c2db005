"""Log values for the classical methods; they live in :mod:`domainvi.data`."""

from domainvi.data import log_normalize, prepare_values, variable_genes

__all__ = ["log_normalize", "prepare_values", "variable_genes"]
