"""What a command found: lines of text as they come, or one JSON document at its end."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO


class Results:
    """Takes each result as a line for people and as values for programs, and writes one of both.

    Parameters
    ----------
    stream
        Where to write.
    as_json
        Whether to write the values, as one document, instead of the lines.
    """

    def __init__(self, stream: TextIO, as_json: bool) -> None:
        self.stream = stream
        self.as_json = as_json
        self.values: dict[str, Any] = {}

    def __call__(self, text: str = "", **values: Any) -> None:
        """Take a result: a line, and the same by name. Lists and dicts of one name add up."""
        for name, value in values.items():
            before = self.values.setdefault(name, value)
            if before is not value:
                self.values[name] = before | value if isinstance(value, dict) else before + value
        if text and not self.as_json:
            self._write(text)

    def finish(self) -> None:
        """Write the document, if that is what was asked for."""
        if self.as_json:
            self._write(json.dumps(_plain(self.values), indent=2, allow_nan=False))

    def _write(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()


def _plain(value: Any) -> Any:
    """Turn arrays, numpy scalars and paths into what JSON has; a number that is none is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
