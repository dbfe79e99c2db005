"""The command line: it parses, calls the functions of the package, and writes only its outputs.

Nothing heavy is imported until a command runs, so that ``--help`` answers at once.
"""

from ._main import main

__all__ = ["main"]
