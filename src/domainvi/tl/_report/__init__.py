"""A report for a colleague: one HTML file with data, verdict, predictions and diagnostics."""

from ._write import report

__all__ = ["report"]
