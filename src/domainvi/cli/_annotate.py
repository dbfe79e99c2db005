"""`domainvi annotate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ._files import check_output, naming, read, write
from ._fit import accelerator
from ._options import Data, Device, Force, Json, Output, UnknownAlpha
from ._report import reporting
from ._summary import say_predictions, say_written

if TYPE_CHECKING:
    from anndata import AnnData

    from domainvi import DomainVI

Model = Annotated[Path, Parameter(help="Folder that `domainvi train` wrote.")]


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
            help="Which of the model's further phenotypes to write; all of them if not given.",
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

        check_output(output, force)
        where = accelerator(device)
        trained = DomainVI.load(model)
        if where["accelerator"] in {"gpu", "mps"}:
            number = where["devices"][0] if where["accelerator"] == "gpu" else 0
            trained.to_device({"gpu": f"cuda:{number}", "mps": "mps"}[where["accelerator"]])
        adata = read(data)
        with naming(data):
            check(adata, trained)
            trained.annotate(adata, unknown_alpha=unknown_alpha, targets=targets)
        written = [t.key for t in trained.targets] if targets is None else targets
        say_predictions(say, trained, adata, written)
        write(adata, output)
        say_written(say, output)


def check(adata: "AnnData", model: "DomainVI") -> None:
    """Refuse data that cannot be annotated: their labels do not matter, nor need they a cohort."""
    from domainvi.data import check_likelihood, check_setup, describe_matrix

    if len(model.modalities) > 1:
        return  # The model finds out which of them these are, and checks them.
    setup = model.registry_["setup_args"]
    batch, layer = setup["batch_key"], setup["layer"]
    keys = [batch] if isinstance(batch, str) else list(batch)
    check_setup(
        adata,
        batch_keys=[key for key in keys if key in adata.obs],
        labels_key=None,
        layer=layer,
        require_labels=False,
        require_domains=False,
    )
    matrix = adata.X if layer is None else adata.layers[layer]
    check_likelihood(describe_matrix(matrix), model.likelihood)
