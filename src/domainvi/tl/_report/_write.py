"""Gather, render and write the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from anndata import AnnData

from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import check_labels
from domainvi.errors import InputError
from domainvi.io import put_file

from ._facts import gather
from ._figures import figures

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from domainvi import DomainVI

TEMPLATE = "report.html.j2"


def report(
    model: DomainVI,
    adata: AnnData | None = None,
    path: str | os.PathLike[str] = "report.html",
    *,
    title: str | None = None,
    truth: str | None = None,
    n_genes: int = 10,
    unknown_alpha: float | None = None,
    overwrite: bool = False,
    set_alpha: float | None = None,
    classes: Sequence[str] | None = None,
    level_confidence: float | None = 0.8,
) -> Path:
    """Write a report on a model and what it says of some rows: one HTML file, for a colleague.

    Nothing in the file is fetched from the network. It holds the audit's verdict, the predictions
    with their confidence and the rows of no known class, training and alignment, the genes behind
    each class, and all that is needed to run it again.

    Parameters
    ----------
    model
        A trained model.
    adata
        Rows to report on; the model's own if ``None``. Not changed: they are annotated by this
        model on a copy, whatever they hold already.
    path
        File to write.
    title
        Headline; names the phenotype if ``None``.
    truth
        Column of ``adata.obs`` with true labels, to compare with. Rows whose names are those of
        labelled rows of the training are not compared.
    n_genes
        Genes to show for each class; 0 for none. They need the extra ``interpret``, and are left
        out without it.
    unknown_alpha
        P-value up to which a row is called unknown, see :meth:`domainvi.DomainVI.annotate`.
    overwrite
        Whether to replace a file that exists.
    set_alpha, classes
        Prediction sets, and classes that can be there, as in :meth:`domainvi.DomainVI.annotate`.
    level_confidence
        How sure a name of a label tree has to be, as in :meth:`domainvi.DomainVI.annotate`.

    Returns
    -------
    The path of the file, which is written whole or not at all.

    Raises
    ------
    InputError
        If the file exists, its folder does not, ``truth`` is no column, or the model is no
        :class:`~domainvi.DomainVI`.
    NotTrainedError
        If the model is not trained.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dv.tl.report(model, path=f"{folder}/report.html", n_genes=0).name
    'report.html'
    """
    target = Path(path)
    _check(model, target, overwrite)
    data = model._own_data() if adata is None else adata
    if truth is not None and truth not in data.obs:
        msg = f"truth={truth!r} is not a column of obs: {', '.join(map(str, data.obs.columns))}."
        raise InputError(msg)
    if truth is not None:
        check_labels(data.obs[truth], f"truth={truth!r}", truth)
    key = model.registry_[SETUP_ARGS_KEY]["labels_key"]
    own, annotated = data is model._adata, _working_copy(data)
    model.annotate(
        annotated,
        unknown_alpha=unknown_alpha,
        overwrite=True,
        set_alpha=set_alpha,
        classes=classes,
        level_confidence=level_confidence,
    )
    facts = gather(model, annotated, own=own, truth=truth, n_genes=n_genes)
    html = render(facts, figures(model, annotated, facts), title or f"Label transfer: {key}")
    put_file(target, html.encode("utf-8"))
    return target


def render(facts: dict[str, Any], images: dict[str, str], title: str) -> str:
    """Fill the template; everything in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE).render(facts=facts, figures=images, title=title)


def _working_copy(adata: AnnData) -> AnnData:
    """Share the values, and copy what annotating writes to."""
    if not isinstance(adata, AnnData):
        msg = "Reports are of an AnnData; pass one modality, such as mdata['rna']."
        raise InputError(msg)
    return AnnData(
        X=adata.X,
        obs=adata.obs,
        var=adata.var,
        # From anndata 0.13 on the values are a layer, too, without a name.
        layers={name: layer for name, layer in adata.layers.items() if name is not None},
        obsm=dict(adata.obsm),
        uns=dict(adata.uns),
    )


def _check(model: DomainVI, path: Path, overwrite: bool) -> None:
    """Refuse a model that has no report, and a path that cannot be written."""
    from domainvi import DomainVI

    if not isinstance(model, DomainVI):
        msg = f"Reports are for DomainVI, and this is a {type(model).__name__}."
        raise InputError(msg)
    model._refuse_several("report")
    if not path.absolute().parent.is_dir():
        msg = f"{path}: the folder {path.parent} does not exist. Create it first."
        raise InputError(msg)
    if path.is_dir() or (path.exists() and not overwrite):
        msg = f"{path} exists already. Pass overwrite=True to replace it, or write elsewhere."
        raise InputError(msg)
