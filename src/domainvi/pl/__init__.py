"""Plots of data, training and results; each returns the axes it drew on."""

from ._leakage import leakage
from ._variance_shares import variance_shares

__all__ = ["leakage", "variance_shares"]
