"""The command ``domainvi report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ._files import check_output, naming, read
from ._options import Data, Force, Json, Model
from ._results import reporting
from ._summary import say_written

Html = Annotated[Path, Parameter(("--output", "-o"), help="The HTML file to write.")]
Truth = Annotated[
    str | None, Parameter("--truth", help="Column of obs with true labels, to compare with.")
]
Genes = Annotated[
    int, Parameter("--genes", validator=Number(gte=0), help="Genes shown for each class; 0 none.")
]


def report(
    model: Model,
    data: Data,
    /,
    *,
    output: Html,
    truth: Truth = None,
    genes: Genes = 10,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a report on a saved model and what it says of data: one HTML file, for a colleague.

    It opens without a network, and holds the audit's verdict, predictions with confidence, rows
    of no known class, training, the genes behind each class, and what is needed to run it again.
    The genes need the extra `interpret`, and are left out without it.
    """
    with reporting(as_json) as say:
        from domainvi import DomainVI, tl

        check_output(output, force, others=(model, data))
        trained = DomainVI.load(model)
        adata = read(data)
        with naming(data):
            tl.report(trained, adata, output, truth=truth, n_genes=genes, overwrite=force)
        say_written(say, output)
