"""Arguments and options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

Data = Annotated[Path, Parameter(help="File in h5ad format.")]
Model = Annotated[Path, Parameter(help="Folder that `domainvi train` wrote.")]
Labels = Annotated[str, Parameter("--labels", help="Column of obs with the phenotype.")]
Batch = Annotated[str, Parameter("--batch", help="Column of obs that names the cohort.")]
Unlabeled = Annotated[
    str,
    Parameter("--unlabeled", help="Rows with this label, like rows without one, are unlabelled."),
]
Layer = Annotated[
    str | None, Parameter("--layer", help="Layer with the expression values; X if not given.")
]
Output = Annotated[Path, Parameter(("--output", "-o"), help="The h5ad file to write.")]
Report = Annotated[Path | None, Parameter("--report", help="An HTML report to write as well.")]
Force = Annotated[
    bool,
    Parameter("--force", negative="", show_default=False, help="Replace an existing output."),
]
Json = Annotated[
    bool,
    Parameter(
        "--json",
        negative="",
        show_default=False,
        help="Write the results to standard output as one JSON document, for programs.",
    ),
]
Seed = Annotated[int, Parameter("--seed", validator=Number(gte=0), help="Seed of all randomness.")]
Device = Annotated[
    str, Parameter("--device", help="auto, cpu, cuda, mps, or one GPU such as cuda:1.")
]
MaxEpochs = Annotated[
    int | None,
    Parameter(
        "--max-epochs",
        validator=Number(gte=1),
        help="Passes over the data; the model's own number if not given.",
    ),
]
UnknownAlpha = Annotated[
    float | None,
    Parameter(
        "--unknown-alpha",
        validator=Number(gte=0, lte=1),
        help="Give the unlabelled category to rows whose p-value of belonging to any known class "
        "is at most this; if not given, every row gets its best class.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is set up and trained: the options of the commands that do it."""

    labels: Labels
    batch: Batch
    targets: Annotated[
        list[str] | None,
        Parameter(
            "--targets",
            consume_multiple=True,
            negative="",
            help="More columns of obs to predict, names or numbers; values may be missing.",
        ),
    ] = None
    layer: Layer = None
    unlabeled: Unlabeled = "Unknown"
    seed: Seed = 0
    device: Device = "auto"
    max_epochs: MaxEpochs = None
    checkpoints: Annotated[
        Path | None,
        Parameter(
            "--checkpoints",
            help="Folder for a checkpoint after each epoch, from which --resume goes on.",
        ),
    ] = None
    resume: Annotated[
        bool,
        Parameter(
            "--resume",
            negative="",
            show_default=False,
            help="Go on from the folder of --checkpoints, if there is a checkpoint in it yet.",
        ),
    ] = False
