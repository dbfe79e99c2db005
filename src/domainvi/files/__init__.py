"""Files of other people: which format one has, and its content as an AnnData."""

from ._describe import describe
from ._read import format_of, read
from ._tables import table

__all__ = ["describe", "format_of", "read", "table"]
