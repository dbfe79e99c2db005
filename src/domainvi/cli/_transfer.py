"""`domainvi transfer`."""

from typing import TYPE_CHECKING

from ._files import check_output, naming, read, write
from ._fit import accelerator, fit
from ._join import Columns, check_query, check_reference, check_scales, cohort_of, join
from ._options import (
    Batch,
    Checkpoints,
    Data,
    Device,
    Force,
    Json,
    Labels,
    Layer,
    MaxEpochs,
    Output,
    Report,
    Resume,
    Seed,
    Targets,
    UnknownAlpha,
    Unlabeled,
)
from ._reporting import note, reporting
from ._results import Results
from ._summary import say_agreement, say_audit, say_predictions, say_written

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from domainvi import DomainVI
    from domainvi.data import GeneAlignment


def transfer(
    ref: Data,
    query: Data,
    /,
    *,
    labels: Labels,
    batch: Batch,
    output: Output,
    report: Report = None,
    targets: Targets = None,
    layer: Layer = None,
    unlabeled: Unlabeled = "Unknown",
    unknown_alpha: UnknownAlpha = None,
    seed: Seed = 0,
    device: Device = "auto",
    max_epochs: MaxEpochs = None,
    checkpoints: Checkpoints = None,
    resume: Resume = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Move labels from REF to QUERY, and write the annotated query.

    Both are joined on the genes that they share by name; the query must have half of the
    reference's. It may lack the cohort column: then it is one new cohort with the name of its
    file. Its labels, if it has any, are not used, only compared with the predictions at the end.
    The output is the query with latents, predicted labels, and the verdict on them.
    """
    columns = Columns(batch, labels, unlabeled, layer, tuple(targets or ()))
    with reporting(as_json) as say:
        check_output(output, force, others=(ref, checkpoints))
        if report is not None:
            check_output(report, force, others=(ref, query, output, checkpoints))
        where = accelerator(device)
        reference, adata = read(ref), read(query)
        with naming(ref):
            check_reference(reference, columns)
        with naming(query):
            check_query(adata, columns)
            taken = set(reference.obs[batch].astype(str))
            cohort = cohort_of(adata, columns, query.stem, taken)
            joined, genes = join(reference, adata, cohort, columns)
            check_scales(reference, adata, layer)
        _describe(say, joined, genes, taken, cohort)
        del reference
        model = fit(
            joined,
            batch=batch,
            labels=labels,
            unlabeled=unlabeled,
            layer=None,
            seed=seed,
            where=where,
            max_epochs=max_epochs,
            targets=targets,
            checkpoints=checkpoints,
            resume=resume,
        )
        _annotate(model, adata, joined, columns, unknown_alpha)
        say_audit(say, model)
        say_predictions(say, model, adata, columns.targets)
        say_agreement(say, adata, labels, unlabeled)
        write(adata, output)
        say_written(say, output)
        if report is not None:
            from domainvi import tl

            # Reference and query together, as the model was trained.
            tl.report(model, joined, report, unknown_alpha=unknown_alpha, overwrite=force)
            say_written(say, report)


def _describe(
    say: Results, joined: "AnnData", genes: "GeneAlignment", taken: set[str], cohort: "pd.Series"
) -> None:
    say(
        f"genes: {genes.n_matched} shared by name; the query lacks {genes.n_missing} of the "
        f"reference's and has {genes.n_extra} others",
        genes={
            "shared": genes.n_matched,
            "missing": genes.n_missing,
            "others": genes.n_extra,
        },
    )
    names = sorted(cohort.unique())
    n_reference = joined.n_obs - len(cohort)
    say(
        f"rows: {n_reference} of the reference, {len(cohort)} of the query",
        rows={"reference": n_reference, "query": len(cohort)},
    )
    say(
        f"cohorts: {', '.join(sorted(taken))} (reference); {', '.join(names)} (query)",
        cohorts={"reference": sorted(taken), "query": names},
    )
    both = taken.intersection(names)
    if both:
        note(f"warning: taken as one cohort, since both files name it: {', '.join(sorted(both))}")


def _annotate(
    model: "DomainVI",
    query: "AnnData",
    joined: "AnnData",
    columns: Columns,
    unknown_alpha: float | None,
) -> None:
    """Annotate the joined rows and hand the query's part over to the query."""
    before = {part: set(getattr(joined, part)) for part in ("obs", "obsm", "uns")}
    model.annotate(joined, unknown_alpha=unknown_alpha)
    rows = slice(joined.n_obs - query.n_obs, None)
    for key in joined.obs.columns.difference([*before["obs"]], sort=False):
        query.obs[key] = joined.obs[key].iloc[rows].set_axis(query.obs_names)
    for key in joined.obsm.keys() - before["obsm"]:
        query.obsm[key] = joined.obsm[key][rows]
    for key in joined.uns.keys() - before["uns"]:
        query.uns[key] = joined.uns[key]
