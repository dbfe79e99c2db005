"""Arguments and options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

# Options that take several values, such as `--seeds 0 1 2`, and those that are switched on.
SEVERAL: dict[str, Any] = {"consume_multiple": True, "negative": ""}
SWITCH: dict[str, Any] = {"negative": "", "show_default": False}

Data = Annotated[
    Path,
    Parameter(help="File: h5ad, h5mu, zarr, loom, 10x h5, a folder with matrix.mtx, csv or tsv."),
]
Modality = Annotated[str | None, Parameter(help="Modality to take from an h5mu file.")]
Model = Annotated[Path, Parameter(help="Folder that `domainvi train` wrote.")]
Labels = Annotated[str, Parameter(help="Column of obs with the phenotype.")]
Batch = Annotated[str, Parameter(help="Column of obs that names the cohort.")]
# Of commands that take several files.
LabelsOfFiles = Annotated[
    list[str],
    Parameter(
        negative="",
        help="Column of obs with the phenotype. With several references: once for all, or once for "
        "each, in their order; the first is the name of the predictions.",
    ),
]
BatchOfFiles = Annotated[
    str | None,
    Parameter(
        help="Column of obs that names the cohort. A file without it is one cohort, by the name of "
        "the file; so is each file, if not given.",
    ),
]
LabelMap = Annotated[
    Path | None,
    Parameter(
        help="A csv file with columns label and name, the common name of a label; and reference, "
        "the name of a file, where a row is for that file only.",
    ),
]
CoarseLabels = Annotated[
    list[str] | None,
    Parameter(
        **SEVERAL,
        help="Columns with coarser names of the same phenotype, from the coarsest on. Rows may "
        "stop at any of them, and are named as finely as they are sure of.",
    ),
]
Unlabeled = Annotated[
    str, Parameter(help="Rows with this label, like rows without one, are unlabelled.")
]
Layer = Annotated[str | None, Parameter(help="Layer with the expression values; X if not given.")]
# What it writes is said by each command.
File = Annotated[Path, Parameter(("--output", "-o"))]
Output = Annotated[File, Parameter(help="The h5ad file to write.")]
Force = Annotated[bool, Parameter(**SWITCH, help="Replace an existing output.")]
OverwriteColumns = Annotated[
    bool,
    Parameter(**SWITCH, help="Replace columns of the data that have the names of the results."),
]
Json = Annotated[
    bool,
    Parameter(
        "--json",
        **SWITCH,
        help="Write the results to standard output as one JSON document, for programs.",
    ),
]
Strict = Annotated[
    bool,
    Parameter(
        **SWITCH,
        help="End with status 3 where there are cautions, after writing the outputs.",
    ),
]
Seed = Annotated[int, Parameter(validator=Number(gte=0), help="Seed of all randomness.")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda, mps, or one GPU such as cuda:1.")]
MaxEpochs = Annotated[
    int | None,
    Parameter(
        validator=Number(gte=1), help="Passes over the data; the model's own number if not given."
    ),
]
UnknownAlpha = Annotated[
    float | None,
    Parameter(
        validator=Number(gte=0, lte=1),
        help="Give the unlabelled category to rows whose p-value of belonging to any known class "
        "is at most this; if not given, every row gets its best class.",
    ),
]
LevelConfidence = Annotated[
    float,
    Parameter(
        validator=Number(gte=0, lte=1),
        help="Of labels on several levels, the least probability of a name that a row is given: "
        "the finest name that reaches it, or the coarsest name where no level reaches it.",
    ),
]

SetAlpha = Annotated[
    float | None,
    Parameter(
        validator=Number(gt=0, lt=1),
        help="Write prediction sets, too: the classes that a row may have, the right one missing "
        "in this share of rows like the labelled ones. They are of the finest level.",
    ),
]
Classes = Annotated[
    list[str] | None,
    Parameter(
        **SEVERAL,
        help="Classes that can be there, such as those of a tissue; all of them if not given.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is set up and trained: the options of the commands that do it.

    Parameters
    ----------
    targets
        More columns of obs to predict, names or numbers; values may be missing.
    min_genes
        Least number of genes that two files must share; half of the reference's, or 100 and half
        of the query's, if not given.
    checkpoints
        Folder for a checkpoint after each epoch, from which --resume goes on.
    resume
        Go on from the folder of --checkpoints, if there is a checkpoint in it yet.
    """

    labels: LabelsOfFiles
    batch: BatchOfFiles = None
    label_map: LabelMap = None
    coarse_labels: CoarseLabels = None
    targets: Annotated[list[str] | None, Parameter(**SEVERAL)] = None
    layer: Layer = None
    modality: Modality = None
    min_genes: Annotated[int | None, Parameter(validator=Number(gte=1))] = None
    unlabeled: Unlabeled = "Unknown"
    seed: Seed = 0
    device: Device = "auto"
    max_epochs: MaxEpochs = None
    checkpoints: Path | None = None
    resume: Annotated[bool, Parameter(**SWITCH)] = False

    @property
    def label(self) -> str:
        """Column of the labels, once there is one object."""
        return self.labels[0]

    @property
    def domain(self) -> str:
        """Column of the cohorts, once there is one object."""
        return self.batch or "cohort"

    @property
    def levels(self) -> list[str]:
        """Columns of the labels, from coarse to fine."""
        return [*(self.coarse_labels or ()), self.label]
