"""The command ``domainvi annotate``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ._files import check_output, naming, read, write
from ._fit import accelerator
from ._options import Data, Device, Force, Json, Model, Output, UnknownAlpha
from ._results import reporting
from ._summary import say_predictions, say_written


def annotate(
    model: Model,
    data: Data,
    /,
    *,
    output: Output,
    targets: Annotated[
        list[str] | None,
        Parameter(
            "--targets",
            consume_multiple=True,
            negative="",
            help="Which of the model's auxiliary phenotypes to write; all of them if not given.",
        ),
    ] = None,
    unknown_alpha: UnknownAlpha = None,
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Annotate data with a saved model: latents, predicted labels, and the verdict on them.

    Genes are matched by name. The columns and the layer are those that the model was trained with.
    Rows of a cohort that was not in training, or of data without a cohort column, are standardised
    by themselves when there are enough of them. Labels in the data are not used.
    """
    with reporting(as_json) as say:
        from domainvi import DomainVI

        check_output(output, force, others=(model,))
        where = accelerator(device)
        trained = DomainVI.load(model, accelerator=where["accelerator"], device=where["devices"])
        adata = read(data)
        with naming(data):
            trained.annotate(adata, unknown_alpha=unknown_alpha, targets=targets)
        written = [p.key for p in trained.phenotypes] if targets is None else targets
        say_predictions(say, adata, written)
        write(adata, output)
        say_written(say, output)
