"""The command ``domainvi transfer``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from domainvi.errors import InputError

from ._files import check_output, naming, read, write
from ._fit import accelerator, check_training, fit, named
from ._join import check_columns, check_results, check_sets, cohort_of, join
from ._options import (
    SWITCH,
    Classes,
    Data,
    Force,
    Json,
    LevelConfidence,
    Output,
    OverwriteColumns,
    SetAlpha,
    Strict,
    Training,
    UnknownAlpha,
)
from ._references import check_references, names_for_all, read_references
from ._results import Results, note, reporting
from ._summary import say_agreement, say_audit, say_predictions, say_written, status

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from domainvi import DomainVI
    from domainvi.data import GeneAlignment


def transfer(
    *files: Data,
    options: Training,
    output: Output,
    report: Path | None = None,
    unknown_alpha: UnknownAlpha = None,
    level_confidence: LevelConfidence = 0.8,
    set_alpha: SetAlpha = None,
    classes: Classes = None,
    use_query_labels: Annotated[bool, Parameter(**SWITCH)] = False,
    overwrite_columns: OverwriteColumns = False,
    force: Force = False,
    strict: Strict = False,
    as_json: Json = False,
) -> int:
    """Move labels from REF, one file or several, to QUERY, the last, and write it annotated.

    They are joined on the genes that all share by name; the query must have half of the
    reference's. A file may lack the cohort column: then it is one cohort with the name of the file.
    Labels of the query are only compared with the predictions at the end, if not to be used, too.
    The output is the query with latents, predicted labels, and the verdict on them.

    Example: `domainvi transfer ref.h5ad query.h5ad --batch cohort --labels cell_type -o out.h5ad`

    Example: `domainvi transfer a.h5ad b.h5ad query.h5ad --labels type --labels subtype
    --label-map names.csv -o out.h5ad`

    Parameters
    ----------
    report
        An HTML report to write as well.
    use_query_labels
        Train with the labels that the query has, too, in the column of --labels.
    """
    check_training(options)
    if len(files) < 2:
        msg = "transfer needs a REF or several, and the QUERY as the last: two files at least."
        raise InputError(msg)
    *refs, query = files
    check_references(refs, options, query)
    inputs = (*refs, options.label_map, options.checkpoints)
    check_output(output, force, kind=".h5ad", others=inputs)
    if report is not None:
        check_output(report, force, kind=".html", others=(*inputs, query, output))
    with reporting(as_json) as say:
        from domainvi.data import check_scales, clean_names

        accelerator(options.device)  # refused, if it is, before the data are read
        reference = read_references(refs, options, say, has_query=True)
        names = names_for_all(refs, options)
        adata = read(query, options.modality, named(options))
        with naming(*refs):
            check_columns(reference, options, is_reference=True)
            check_sets(reference, options, set_alpha, classes)
        with naming(query):
            check_columns(adata, options, is_reference=False, labelled=use_query_labels)
            if not overwrite_columns:
                check_results(adata, reference, options, sets=set_alpha is not None)
            taken = set(clean_names(reference.obs[options.domain], missing=False).astype(str))
            cohort = cohort_of(adata, options, query.stem, taken)
            check_scales(reference, adata, options.layer)
            joined, genes = join(
                reference, adata, cohort, options, label_names=names if use_query_labels else None
            )
        _describe(say, joined, genes, taken, cohort)
        del reference
        model = fit(joined, replace(options, layer=None))
        wishes: dict[str, Any] = {
            "unknown_alpha": unknown_alpha,
            "set_alpha": set_alpha,
            "classes": classes,
            "level_confidence": level_confidence,
        }
        _annotate(model, adata, joined, options, wishes)
        say_audit(say, model)
        say_predictions(say, adata, options.targets or ())
        say_agreement(say, model, adata, options, names, used=use_query_labels)
        write(adata, output)
        say_written(say, output)
        if report is not None:
            from domainvi import tl

            # Reference and query together, as the model was trained.
            tl.report(model, joined, report, overwrite=force, **wishes)
            say_written(say, report)
    return status(say, strict)


def _describe(
    say: Results, joined: AnnData, genes: GeneAlignment, taken: set[str], cohort: pd.Series
) -> None:
    """Say what the reference and the query have in common."""
    say(
        f"genes: {genes.n_matched} shared by name; the query lacks {genes.n_missing} of the "
        f"reference's and has {genes.n_extra} others",
        genes={"shared": genes.n_matched, "missing": genes.n_missing, "others": genes.n_extra},
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
    if both := taken.intersection(names):
        note(f"warning: taken as one cohort, since both files name it: {', '.join(sorted(both))}")


def _annotate(
    model: DomainVI, query: AnnData, joined: AnnData, options: Training, wishes: dict[str, Any]
) -> None:
    """Annotate the joined rows and hand the query's part over to the query."""
    import numpy as np

    import domainvi._keys as keys
    from domainvi._written import replace_earlier

    before = set(joined.uns)
    of_query = np.arange(joined.n_obs) >= joined.n_obs - query.n_obs
    model.annotate(joined, caution_rows=of_query, **wishes)
    new = set(joined.uns[keys.RESULTS][keys.COLUMNS])
    ours = replace_earlier(query, new, [options.domain, *named(options)])
    for key in [name for name in joined.obs if name in new]:
        query.obs[key] = joined.obs.loc[of_query, key].set_axis(query.obs_names)
    for key in new.intersection(joined.obsm):
        query.obsm[key] = joined.obsm[key][of_query]
    query.uns.update({key: joined.uns[key] for key in joined.uns.keys() - before})
    query.uns[keys.RESULTS] = {**joined.uns[keys.RESULTS], keys.COLUMNS: ours}
