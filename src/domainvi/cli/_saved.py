"""The commands on a saved model: ``domainvi annotate``, ``explain`` and ``report``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from ._files import check_inputs, check_model, check_output, naming, read, write
from ._fit import accelerator, check_device
from ._options import (
    SEVERAL,
    Classes,
    Data,
    Device,
    File,
    Force,
    Json,
    LevelConfidence,
    Modality,
    Model,
    Output,
    OverwriteColumns,
    SetAlpha,
    Strict,
    UnknownAlpha,
)
from ._results import note, reporting
from ._summary import say_predictions, say_written, status

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from domainvi import DomainVI


def inputs_of(model: DomainVI) -> list[str]:
    """List the columns of obs that a model was set up with."""
    setup = model.registry_["setup_args"]
    given = (setup[name] or () for name in ("batch_key", "labels_key", "target_keys"))
    return [key for keys in given for key in ((keys,) if isinstance(keys, str) else keys)]


def say_known_cohorts(model: DomainVI, adata: AnnData | MuData) -> None:
    """Say which cohorts are taken for those of training, by the column of that name."""
    key = inputs_of(model)[0]
    names = set(adata.obs[key].astype(str)) if key in adata.obs else set()
    if known := sorted(names.intersection(model.domains)):
        listed = ", ".join(known)
        note(f"obs[{key!r}] names cohorts of training, and their rows are read as those: {listed}")


def annotate(
    model: Model,
    data: Data,
    /,
    *,
    output: Output,
    targets: Annotated[list[str] | None, Parameter(**SEVERAL)] = None,
    unknown_alpha: UnknownAlpha = None,
    level_confidence: LevelConfidence = 0.8,
    set_alpha: SetAlpha = None,
    classes: Classes = None,
    modality: Modality = None,
    min_genes: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    device: Device = "auto",
    overwrite_columns: OverwriteColumns = False,
    force: Force = False,
    strict: Strict = False,
    as_json: Json = False,
) -> int:
    """Annotate data with a saved model: latents, predicted labels, and the verdict on them.

    Genes are matched by name. The columns and the layer are those that the model was trained with.
    Rows of a cohort that was not in training, or of data without a cohort column, are standardised
    by what they say of their composition. Labels in the data are not used.

    Example: `domainvi annotate model query.h5ad -o out.h5ad`

    Parameters
    ----------
    targets
        Which of the model's auxiliary phenotypes to write; all of them if not given.
    min_genes
        Least number of the model's genes that the data must have; half of them, or 100 and half
        of the data's, if not given.
    """
    check_device(device)
    model = check_model(model)
    check_inputs(data)
    check_output(output, force, kind=".h5ad", others=(model,))
    with reporting(as_json) as say:
        from domainvi import DomainVI

        where = accelerator(device)
        trained = DomainVI.load(model, accelerator=where["accelerator"], device=where["devices"])
        adata = read(data, modality, inputs_of(trained))
        say_known_cohorts(trained, adata)
        with naming(data):
            trained.annotate(
                adata,
                unknown_alpha=unknown_alpha,
                targets=targets,
                level_confidence=level_confidence,
                overwrite=overwrite_columns,
                min_genes=min_genes,
                set_alpha=set_alpha,
                classes=classes,
            )
        written = [p.key for p in trained.phenotypes] if targets is None else targets
        say_predictions(say, adata, written)
        write(adata, output)
        say_written(say, output)
    return status(say, strict)


def explain(
    model: Model,
    data: Data,
    /,
    *,
    output: File,
    method: Literal["deeplift", "integrated_gradients", "gradient_shap"] = "deeplift",
    baseline: Literal["domain", "global", "zero"] = "domain",
    target: str | None = None,
    groupby: str | None = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the genes that the predictions of a saved model rest on, as a table of genes by class.

    Values are mean attributions of the rows that are called the class: how much each gene moves
    its score against the runner-up, compared with the baseline. A class that no row is called has
    none. Genes that are marked as low speak for the class because it lacks them.

    Example: `domainvi explain model query.h5ad -o genes.csv`

    Parameters
    ----------
    output
        The csv file to write.
    method
        How scores are attributed.
    baseline
        What rows are compared with: the class-balanced mean of their own cohort, the mean of all
        rows, or no expression.
    target
        Another phenotype, or `latent`; the labels if not given.
    groupby
        Column of obs: one column for each group, not each class.
    """
    model = check_model(model)
    check_inputs(data)
    check_output(output, force, kind=".csv", others=(model, data))
    with reporting(as_json) as say:
        from domainvi import DomainVI
        from domainvi.io import whole_file

        trained = DomainVI.load(model)
        adata = read(data, columns=inputs_of(trained))
        with naming(data):
            genes = trained.explain(
                adata, method=method, target=target, groupby=groupby, baseline=baseline
            )
        with whole_file(output) as beside:
            genes.to_csv(beside, index_label="gene")
        for name in genes:
            rows, top = genes.attrs["n_rows"][name], [*genes[name].dropna().nlargest(5).index]
            low = [gene for gene in top if gene in genes.attrs["low"][name]]
            marked = [f"{gene} (low)" if gene in low else gene for gene in top]
            line = f"{name} ({rows} rows): {', '.join(marked) or 'nothing to explain'}"
            say(line, genes={str(name): {"rows": rows, "top": top, "low": low}})
        say_written(say, output)


def report(
    model: Model,
    data: Data,
    /,
    *,
    output: File,
    truth: str | None = None,
    genes: Annotated[int, Parameter(validator=Number(gte=0))] = 10,
    set_alpha: SetAlpha = None,
    classes: Classes = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a report on a saved model and what it says of data: one HTML file, for a colleague.

    It opens without a network, and holds the audit's verdict, predictions with confidence, rows
    of no known class, training, the genes behind each class, and what is needed to run it again.
    The genes need the extra `interpret`, and are left out without it.

    Example: `domainvi report model query.h5ad -o report.html`

    Parameters
    ----------
    output
        The HTML file to write.
    truth
        Column of obs with true labels, to compare with.
    genes
        Genes shown for each class; 0 none.
    """
    model = check_model(model)
    check_inputs(data)
    check_output(output, force, kind=".html", others=(model, data))
    with reporting(as_json) as say:
        from domainvi import DomainVI, tl

        trained = DomainVI.load(model)
        adata = read(data, columns=inputs_of(trained))
        with naming(data):
            tl.report(
                trained,
                adata,
                output,
                truth=truth,
                n_genes=genes,
                overwrite=force,
                set_alpha=set_alpha,
                classes=classes,
            )
        say_written(say, output)
