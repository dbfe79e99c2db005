"""Model files without pickle: safetensors for weights, JSON for the rest.

Opening a stranger's model runs nothing of theirs; saving leaves the old model or the new one.
"""

from domainvi.io._atomic import put_file, whole_file
from domainvi.io._codec import decode_json, encode_json
from domainvi.io._migrate import MIGRATIONS, SCHEMA_VERSION
from domainvi.io._read import DEFAULT_MAX_BYTES, read_model
from domainvi.io._write import write_model

__all__ = [
    "DEFAULT_MAX_BYTES",
    "MIGRATIONS",
    "SCHEMA_VERSION",
    "decode_json",
    "encode_json",
    "put_file",
    "read_model",
    "whole_file",
    "write_model",
]
