"""The command ``domainvi explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ._files import check_output, naming, read
from ._options import Data, Force, Json, Model
from ._results import reporting
from ._summary import say_written


def explain(
    model: Model,
    data: Data,
    /,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"), help="The csv file to write.")],
    method: Annotated[
        Literal["deeplift", "integrated_gradients", "gradient_shap"],
        Parameter("--method", help="How scores are attributed."),
    ] = "deeplift",
    baseline: Annotated[
        Literal["domain", "global", "zero"],
        Parameter(
            "--baseline",
            help="What rows are compared with: the class-balanced mean of their own cohort, the "
            "mean of all rows, or no expression.",
        ),
    ] = "domain",
    target: Annotated[
        str | None,
        Parameter("--target", help="Another phenotype, or `latent`; the labels if not given."),
    ] = None,
    groupby: Annotated[
        str | None,
        Parameter("--groupby", help="Column of obs: one column for each group, not each class."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the genes that the predictions of a saved model rest on, as a table of genes by class.

    Values are mean attributions of the rows that are called the class: how much each gene moves
    its score against the runner-up, compared with the baseline.
    """
    with reporting(as_json) as say:
        from domainvi import DomainVI
        from domainvi.io import whole_file

        check_output(output, force, others=(model, data))
        trained = DomainVI.load(model)
        adata = read(data)
        with naming(data):
            genes = trained.explain(
                adata, method=method, target=target, groupby=groupby, baseline=baseline
            )
        with whole_file(output) as beside:
            genes.to_csv(beside, index_label="gene")
        for name in genes:
            rows, top = genes.attrs["n_rows"][name], [*genes[name].nlargest(5).index]
            line = f"{name} ({rows} rows): {', '.join(top)}"
            say(line, genes={str(name): {"rows": rows, "top": top}})
        say_written(say, output)
