"""The command ``domainvi benchmark``."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter
from cyclopts.validators import Number

from domainvi.errors import InputError

from ._files import check_inputs, check_output, naming, read
from ._fit import accelerator, check_device
from ._options import (
    SEVERAL,
    Batch,
    Data,
    Device,
    File,
    Force,
    Json,
    Labels,
    Layer,
    MaxEpochs,
    Unlabeled,
)
from ._results import Results, reporting
from ._summary import say_written

if TYPE_CHECKING:
    import pandas as pd

    from domainvi.tl import Protocol

_FIGURES = (".pdf", ".png", ".svg")
_SHOWN = Parameter(**SEVERAL, show_default=lambda given: " ".join(map(str, given)))


def benchmark(
    data: Data,
    /,
    *,
    batch: Batch,
    labels: Labels,
    target: str | None = None,
    output: File,
    protocol: Annotated[tuple[str, ...], _SHOWN] = ("cross_validation", "leave_one_domain_out"),
    methods: Annotated[tuple[str, ...] | None, Parameter(**SEVERAL)] = None,
    groups: str | None = None,
    budgets: Annotated[tuple[int, ...], _SHOWN] = (0, 1, 2, 5, 10, 20),
    splits: Annotated[int, Parameter(validator=Number(gte=2))] = 5,
    seeds: Annotated[tuple[int, ...], _SHOWN] = (0,),
    figure: Path | None = None,
    layer: Layer = None,
    unlabeled: Unlabeled = "Unknown",
    device: Device = "auto",
    max_epochs: MaxEpochs = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Measure how well labels transfer between your own cohorts, by several methods.

    Random cross-validation says what the score would be if the next cohort came from the same
    laboratories; leaving one cohort out says what a new cohort gets. Both are run, and the gap
    between them is the number to look at.

    Example: `domainvi benchmark cohorts.h5ad --batch cohort --labels cell_type -o scores.csv`

    Parameters
    ----------
    target
        Column to score in place of --labels, DomainVI's main one.
    output
        The CSV table to write.
    protocol
        One or more of leave_one_domain_out, cross_validation and label_budget.
    methods
        Methods to compare; DomainVI, logistic regressions and a random forest if not given, and
        ridge regressions and a random forest for a column of numbers.
    groups
        Column, such as a patient, with no value on both sides.
    budgets
        Labels of each class, for label_budget.
    splits
        Folds of cross_validation.
    seeds
        Repetitions, one for each seed.
    figure
        A png, pdf or svg file to draw the table into.
    """
    check_device(device)
    check_inputs(data, columns={"batch_key": [batch], "labels_key": [labels]})
    check_output(output, force, kind=".csv", others=(data, figure))
    if figure is not None:
        check_output(figure, force, others=(data, output))
    if figure is not None and figure.suffix.lower() not in _FIGURES:
        msg = f"--figure {figure}: expected a name that ends in png, pdf or svg."
        raise InputError(msg)
    with reporting(as_json) as say:
        from domainvi.io import whole_file
        from domainvi.tl import benchmark as measure

        training = {
            "max_epochs": max_epochs,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **accelerator(device),
        }
        adata = read(data, columns=[key for key in (batch, labels, target, groups) if key])
        # scvi-tools prints what stopped a training, which nobody has to know here.
        with naming(data), redirect_stdout(io.StringIO()):
            table = measure(
                adata,
                batch_key=batch,
                labels_key=labels,
                target_key=target,
                unlabeled_category=unlabeled,
                protocol=cast("tuple[Protocol, ...]", protocol),
                methods=methods,
                groups=groups,
                budgets=budgets,
                n_splits=splits,
                seeds=seeds,
                layer=layer,
                train_kwargs=training,
            )
        with whole_file(output) as beside:
            table.to_csv(beside, index=False)
        _say_means(say, table)
        say_written(say, output)
        if figure is not None:
            from domainvi.pl import benchmark as draw

            with whole_file(figure) as beside:
                draw(table, show=False, save=beside)
            say_written(say, figure)


def _say_means(say: Results, table: pd.DataFrame) -> None:
    """Say the mean of the main score for each method, by protocol and budget."""
    score, words = ("macro_f1", "macro-F1") if "macro_f1" in table else ("r2", "R2")
    budget = table["budget"].astype("string").radd(" ").fillna("")
    column = table["protocol"] + budget
    means = table.groupby(["method", column])[score].mean().unstack()
    means = means.loc[table["method"].unique(), column.unique()]
    say(f"{words}, mean over held-out parts and seeds:", score=score, means=means.to_dict())
    say(means.T.rename_axis(index=None, columns=None).to_string(float_format="{:.3f}".format))
