"""`domainvi train`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._files import check_output, naming, read
from ._fit import accelerator, fit
from ._options import (
    Batch,
    Checkpoints,
    Data,
    Device,
    Force,
    Json,
    Labels,
    Layer,
    MaxEpochs,
    Resume,
    Seed,
    Targets,
    Unlabeled,
)
from ._reporting import reporting
from ._summary import say_audit, say_written


def train(
    ref: Data,
    /,
    *,
    labels: Labels,
    batch: Batch,
    output: Annotated[Path, Parameter(("--output", "-o"), help="Folder of the model to write.")],
    targets: Targets = None,
    layer: Layer = None,
    unlabeled: Unlabeled = "Unknown",
    seed: Seed = 0,
    device: Device = "auto",
    max_epochs: MaxEpochs = None,
    checkpoints: Checkpoints = None,
    resume: Resume = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train a model on several cohorts and save it.

    Rows without a label take part as rows to adapt to. The model then annotates these and other
    cohorts with `domainvi annotate`. Its folder holds safetensors and JSON, and nothing in it is
    ever executed.
    """
    with reporting(as_json) as say:
        check_output(output, force, others=(ref, checkpoints))
        where = accelerator(device)
        adata = read(ref)
        with naming(ref):
            model = fit(
                adata,
                batch=batch,
                labels=labels,
                unlabeled=unlabeled,
                layer=layer,
                seed=seed,
                where=where,
                max_epochs=max_epochs,
                targets=targets,
                checkpoints=checkpoints,
                resume=resume,
            )
        model.save(output, overwrite=force)
        say_audit(say, model)
        say(f"classes: {', '.join(model.classes)}", classes=model.classes)
        say(f"cohorts: {', '.join(model.domains)}", cohorts=model.domains)
        say_written(say, output)
