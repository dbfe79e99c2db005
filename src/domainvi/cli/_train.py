"""The commands on labelled cohorts: ``domainvi audit``, ``train`` and ``suggest``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ._files import check_output, located, naming
from ._fit import accelerator, check_training, fit
from ._options import (
    BatchOfFiles,
    CoarseLabels,
    Data,
    File,
    Force,
    Json,
    LabelMap,
    LabelsOfFiles,
    Layer,
    Modality,
    Training,
    Unlabeled,
)
from ._references import check_references, read_references
from ._results import reporting
from ._summary import say_audit, say_written


def audit(
    *data: Data,
    labels: LabelsOfFiles,
    batch: BatchOfFiles = None,
    label_map: LabelMap = None,
    coarse_labels: CoarseLabels = None,
    layer: Layer = None,
    modality: Modality = None,
    unlabeled: Unlabeled = "Unknown",
    as_json: Json = False,
) -> None:
    """Say, before training, whether labels can be transferred between cohorts.

    Counts classes by cohort, measures how far they go together, and gives the verdict: alignment
    allowed, conditional only (within classes), or refused. Writes no file. Several files are joined
    as by `domainvi train`.

    Example: `domainvi audit cohorts.h5ad --batch cohort --labels cell_type`
    """
    options = Training(
        labels=labels,
        batch=batch,
        label_map=label_map,
        coarse_labels=coarse_labels,
        layer=layer,
        modality=modality,
        unlabeled=unlabeled,
    )
    check_references(data, options)
    with reporting(as_json) as say:
        from domainvi.tl import audit_confounding

        adata = read_references(data, options, say)
        with naming(*data):
            found = audit_confounding(
                adata,
                batch_key=options.domain,
                labels_key=options.levels,
                unlabeled_category=unlabeled,
                layer=layer,
            )
        import pandas as pd

        table = pd.DataFrame(found.table, index=found.classes, columns=found.domains)
        if found.n_coarse is not None:
            table.loc["(coarser label)"] = found.n_coarse
        table.loc["(unlabelled)"] = found.n_unlabelled
        say(str(found), **found.to_dict() | {"table": table.to_dict("index")})
        say(f"verdict: {found.verdict}")
        say(f"\nrows by {options.label} and {options.domain}:\n{table.to_string()}")


def train(
    *ref: Data, options: Training, output: File, force: Force = False, as_json: Json = False
) -> None:
    """Train a model on one or more cohorts, of one file or several, and save it.

    Rows without a label, and files without that column, take part as rows to adapt to. The model
    then annotates these and other cohorts with `domainvi annotate`. Its folder holds safetensors
    and JSON, and nothing in it is ever executed. Several files are joined on the genes that all of
    them have; each may call its labels otherwise (--labels, --label-map).

    Example: `domainvi train cohorts.h5ad --batch cohort --labels cell_type -o model`

    Example: `domainvi train a.h5ad b.h5ad --labels type --labels subtype --label-map names.csv
    -o model`

    Parameters
    ----------
    output
        Folder of the model to write.
    """
    check_training(options)
    check_references(ref, options)
    check_output(output, force, others=(*ref, options.label_map, options.checkpoints))
    with reporting(as_json) as say:
        from domainvi.io import check_place

        accelerator(options.device)  # refused, if it is, before the data are read
        folder = check_place(located(output), overwrite=force)
        adata = read_references(ref, options, say)
        with naming(*ref):
            model = fit(adata, options)
        model.save(folder, overwrite=force)
        say_audit(say, model)
        say(f"classes: {', '.join(model.classes)}", classes=model.classes)
        say(f"cohorts: {', '.join(model.domains)}", cohorts=model.domains)
        say_written(say, output)


def suggest(
    *data: Data,
    options: Training,
    output: File,
    n: Annotated[int, Parameter(("-n", "--rows"), validator=Number(gte=1))] = 20,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Suggest which rows to label next, from a model that is trained for it.

    Rows without a label are spread over predicted classes, and within each over what the model
    sees of them, unsure rows before others. Label them in the same column, and run `domainvi
    train`, or `domainvi transfer --use-query-labels`, on the result.

    Example: `domainvi suggest cohorts.h5ad --batch cohort --labels cell_type -n 20 -o next.csv`

    Parameters
    ----------
    output
        The csv file to write: names of rows, with rank, cohort, predicted class and confidence.
    n
        Rows to suggest; five for each class is a good number to begin with.
    """
    check_training(options)
    check_references(data, options)
    others = (*data, options.label_map, options.checkpoints)
    check_output(output, force, kind=".csv", others=others)
    with reporting(as_json) as say:
        from domainvi.io import whole_file
        from domainvi.model import rows_without_label

        accelerator(options.device)  # refused, if it is, before the data are read
        adata = read_references(data, options, say)
        with naming(*data):
            model = fit(adata, options, check=rows_without_label)
            table = model.suggest_labels(n)
        with whole_file(output) as beside:
            table.to_csv(beside, index_label="row")
        rows = table.rename_axis("row").reset_index()
        say(table.to_string(float_format="{:.2f}".format), suggested=rows.to_dict("records"))
        say_written(say, output)
