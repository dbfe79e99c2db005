"""Model files without pickle: safetensors for weights, JSON for the rest.

Opening a stranger's model runs nothing of theirs; saving leaves the old model or the new one.
"""

from ._atomic import put_file, whole_file
from ._read import read_model
from ._write import check_place, write_model

__all__ = ["check_place", "put_file", "read_model", "whole_file", "write_model"]
