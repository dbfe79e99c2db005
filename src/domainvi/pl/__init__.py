"""Plots of data, training and results; each returns the axes it drew on."""

from ._attribution import attribution

__all__ = ["attribution"]
