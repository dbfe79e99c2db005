"""Keep standard output for what a command found, and standard error for everything else."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHATTY = ("scvi", "lightning.pytorch", "lightning.fabric")


class Results:
    """Takes each result as a line for people and as values for programs, and writes one of both.

    Parameters
    ----------
    stream
        Where to write.
    as_json
        Whether to write the values, as one document at the end, instead of the lines.
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
            _write_line(self.stream, text)

    def finish(self) -> None:
        """Write the document, if that is what was asked for."""
        if self.as_json:
            _write_line(self.stream, json.dumps(_plain(self.values), indent=2, allow_nan=False))


def note(text: str) -> None:
    """Write a line to standard error."""
    _write_line(sys.stderr, text)


def _write_line(stream: TextIO, text: str) -> None:
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        hush(stream)


def hush(stream: TextIO) -> None:
    """Let what is still written go nowhere: who reads has closed the pipe, as ``head`` does.

    A command goes on, since it may have files to write.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


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


@contextmanager
def reporting(as_json: bool = False) -> Iterator[Results]:
    """Keep standard output for results while a command runs; yield what takes them.

    Whatever a library prints goes to standard error. DomainVI's own log and warnings are shown
    there as plain lines; the libraries' are not. With ``as_json`` the results are one document,
    written when the command has succeeded.
    """
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):  # a console that lacks a letter shows its code
        stream.reconfigure(errors="backslashreplace")
    say = Results(stream, as_json)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    with redirect_stdout(sys.stderr), _levels(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module="domainvi")
        warnings.showwarning = _once()
        logger = logging.getLogger("domainvi")
        logger.addHandler(handler)
        try:
            yield say
            say.finish()
        finally:
            logger.removeHandler(handler)


def _once() -> Callable[..., None]:
    """Show each warning once: reference and query, alone and together, are looked at in turn."""
    shown: set[str] = set()

    def show(message: object, *_: object, **__: object) -> None:
        if (text := str(message)) not in shown:
            shown.add(text)
            note(f"warning: {text}")

    return show


@contextmanager
def _levels() -> Iterator[None]:
    """Show DomainVI's messages and silence those of the libraries below it."""
    import scvi  # noqa: F401  # it sets its log level when it is imported

    wanted = {"domainvi": logging.INFO, **dict.fromkeys(_CHATTY, logging.ERROR)}
    before = {name: logging.getLogger(name).level for name in wanted}
    for name, level in wanted.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
