"""The command ``domainvi train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._files import check_output, naming, read
from ._fit import accelerator, fit
from ._options import Data, Force, Json, Training
from ._results import reporting
from ._summary import say_audit, say_written


def train(
    ref: Data,
    /,
    *,
    options: Training,
    output: Annotated[Path, Parameter(("--output", "-o"), help="Folder of the model to write.")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train a model on several cohorts and save it.

    Rows without a label take part as rows to adapt to. The model then annotates these and other
    cohorts with `domainvi annotate`. Its folder holds safetensors and JSON, and nothing in it is
    ever executed.
    """
    with reporting(as_json) as say:
        check_output(output, force, others=(ref, options.checkpoints))
        accelerator(options.device)  # refused, if it is, before the data are read
        adata = read(ref)
        with naming(ref):
            model = fit(adata, options)
        model.save(output, overwrite=force)
        say_audit(say, model)
        say(f"classes: {', '.join(model.classes)}", classes=model.classes)
        say(f"cohorts: {', '.join(model.domains)}", cohorts=model.domains)
        say_written(say, output)
