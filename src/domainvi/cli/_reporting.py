"""What a command says: results on standard output, everything else on standard error."""

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from ._results import Results

_CHATTY = ("scvi", "lightning.pytorch", "lightning.fabric")


def note(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def reporting(as_json: bool = False) -> Iterator[Results]:
    """Keep standard output for results while a command runs.

    Whatever a library prints goes to standard error. DomainVI's own log and warnings are shown
    there as plain lines; the libraries' are not.

    Parameters
    ----------
    as_json
        Whether results are one JSON document, written when the command has succeeded.

    Yields
    ------
    What takes the results.
    """
    results = sys.stdout
    if isinstance(results, io.TextIOWrapper):  # a console that lacks a letter shows its code
        results.reconfigure(errors="backslashreplace")

    say = Results(results, as_json)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    with redirect_stdout(sys.stderr), _levels(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module="domainvi")
        warnings.showwarning = _show_warning
        logger = logging.getLogger("domainvi")
        logger.addHandler(handler)
        try:
            yield say
            say.finish()
        finally:
            logger.removeHandler(handler)


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


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    note(f"warning: {message}")
