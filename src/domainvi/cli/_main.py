"""Parse the command line, run one command, and turn what went wrong into an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

import domainvi
from domainvi.errors import DomainVIError

from ._benchmark import benchmark
from ._check import check
from ._demo import demo
from ._results import hush, note
from ._saved import annotate, explain, report
from ._train import audit, suggest, train
from ._transfer import transfer

SUCCESS, BAD_INPUT, INTERRUPTED = 0, 2, 130


def build() -> App:
    """Return the application with its commands."""
    app = App(
        name="domainvi",
        help="Move phenotype labels between RNA-seq cohorts, and say when not to trust them.",
        help_epilogue="Results go to standard output, progress to standard error. Exit status: 0 "
        "success, 2 bad input, 3 cautions with --strict, 130 interrupted, 1 anything else.",
        help_format="markdown",
        suppress_keyboard_interrupt=False,
        version=lambda: domainvi.__version__,
    )
    app.register_install_completion_command(
        add_to_startup=False, help="Install completion for your shell (bash, zsh, fish)."
    )
    commands = (demo, check, transfer, train, annotate, suggest)
    for command in (*commands, audit, benchmark, explain, report):
        app.command(command)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        What stands behind ``domainvi`` on the command line; that of the process if ``None``.

    Returns
    -------
    int
        Exit status: 0 success, 2 bad input, 3 cautions with ``--strict``, 130 interrupted. Faults
        of DomainVI itself are raised, which ends the process with a traceback and status 1.

    Examples
    --------
    >>> from domainvi.cli import main
    >>> main(["--version"])
    0.1.0
    0
    """
    try:
        status = build()(
            None if arguments is None else list(arguments),
            exit_on_error=False,
            print_error=False,
            verbose=False,
            result_action="return_value",
        )
        return status if isinstance(status, int) else SUCCESS
    except (CycloptsError, DomainVIError) as error:
        return _fail(error)
    except (BrokenPipeError, SystemExit) as error:  # of --help; commands write on
        if not isinstance(error.__context__ or error, BrokenPipeError):
            raise
        hush(sys.stdout)
    except OSError as error:
        if error.filename is None:
            raise
        return _fail(f"{error.strerror}: {error.filename}")
    except KeyboardInterrupt:
        note("domainvi: interrupted")
        return INTERRUPTED
    return SUCCESS


def _fail(reason: object) -> int:
    note(f"domainvi: error: {' '.join(str(reason).split())}")
    return BAD_INPUT
