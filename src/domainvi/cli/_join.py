"""Check reference and query, and put them into one object, matched by gene name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import domainvi._keys as keys
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from anndata import AnnData

    from domainvi.data import GeneAlignment

    from ._options import Training


def check_columns(
    adata: AnnData, options: Training, *, is_reference: bool, labelled: bool = False
) -> None:
    """Refuse a reference that teaches nothing, or a query that cannot be predicted.

    A single cohort is enough; the query needs no cohort column, nor labels but if ``labelled``.
    """
    from domainvi.data import check_setup, label_levels

    if is_reference:
        label_levels(adata, options.levels, None, options.unlabeled)
    check_setup(
        adata,
        batch_keys=[options.domain] if is_reference or options.batch in adata.obs else [],
        labels_key=options.label if is_reference or labelled else None,
        unlabeled_category=options.unlabeled,
        layer=options.layer,
        target_keys=options.targets if is_reference else None,
        require_labels=is_reference,
        require_domains=False,
    )


def check_results(query: AnnData, reference: AnnData, options: Training, *, sets: bool) -> None:
    """Refuse a query whose own columns have the names of the results, before training."""
    from domainvi._written import check_free
    from domainvi.data import is_number_column

    inputs = (options.domain, *options.levels, *(options.targets or ()))
    for key in inputs[1:]:
        names = keys.of_classes(key, sets=sets and key == options.label)
        if key in (options.coarse_labels or ()):
            names = {"obs": names["obs"][:2], "obsm": names["obsm"]}
        if is_number_column(reference.obs[key]):
            names = {"obs": (keys.prediction(key), keys.confidence(key))}
        if options.coarse_labels and key == options.label:
            names["obs"] += (keys.level(key),)
        check_free(query, names, inputs)
    check_free(query, {"obsm": [keys.LATENT]})


def check_sets(
    reference: AnnData, options: Training, alpha: float | None, classes: list[str] | None
) -> None:
    """Refuse what could be said of prediction sets and classes only after training."""
    from domainvi.data import clean_names, is_labelled, label_levels
    from domainvi.trust import rows_needed

    labelled = is_labelled(reference.obs[options.label], options.unlabeled)
    if alpha is not None and labelled.sum() < rows_needed(alpha):
        msg = (
            f"--set-alpha {alpha:g} needs {rows_needed(alpha)} labelled rows, and the reference "
            f"has {labelled.sum()}. Take a larger one, or leave it out."
        )
        raise InputError(msg)
    known = set(clean_names(reference.obs[options.label][labelled]).astype(str))
    _, tree = label_levels(reference, options.levels, None, options.unlabeled)
    known |= set() if tree is None else tree.paths.keys()
    if unknown := [c for c in classes or () if c not in known]:
        msg = (
            f"--classes has {', '.join(map(repr, unknown))}; the reference's {len(known)} classes "
            f"are {', '.join(sorted(known))}. Name some of these."
        )
        raise InputError(msg)


def cohort_of(query: AnnData, options: Training, name: str, taken: set[str]) -> pd.Series:
    """Return the cohort of each row of the query; one new cohort where there is no such column."""
    import pandas as pd

    from domainvi.data import clean_names

    if options.batch in query.obs:
        cohort = clean_names(query.obs[options.batch], missing=False).astype(str)
        if len(taken.union(cohort)) == 1:
            msg = (
                f"All rows of reference and query are of one cohort, {cohort.iloc[0]!r} in obs"
                f"[{options.batch!r}]. Give the query's another name, or leave the column out."
            )
            raise InputError(msg)
        return cohort
    while name in taken:
        name += " (query)"
    return pd.Series(name, index=query.obs_names)


def join(
    ref: AnnData,
    query: AnnData,
    cohort: pd.Series,
    options: Training,
    *,
    label_names: Mapping[str, str] | None = None,
) -> tuple[AnnData, GeneAlignment]:
    """Stack reference and query on their shared genes.

    With ``label_names``, the common names of labels, the query has its labels there.
    """
    import anndata as ad
    import numpy as np
    import pandas as pd

    from domainvi.data import clean_names, match_genes, renamed, select_matrix, warn_of_missing

    genes = match_genes(query.var, ref.var_names, ref.var, min_genes=options.min_genes)
    warn_of_missing(genes, "of the reference", query.var_names, "left out")
    shared = ref.var_names[genes.mask]
    names = clean_names(ref.obs[options.domain], missing=False)
    obs = pd.DataFrame(
        {options.domain: np.r_[names.astype(str), cohort.to_numpy()]},
        index=[str(i) for i in range(ref.n_obs + query.n_obs)],
    )
    parts = [
        ad.AnnData(select_matrix(part[:, own], options.layer), var=pd.DataFrame(index=shared))
        for part, own in ((ref, shared), (query, query.var_names[genes.source[genes.mask]]))
    ]
    joined = ad.concat(parts, keys=["ref", "query"], index_unique="-")
    for key in (*options.levels, *(options.targets or ())):
        # Categories as they are, and nothing for the query, unless its labels are to be used.
        obs[key] = ref.obs[key].set_axis(obs.index[: ref.n_obs])
        if label_names is not None and key in options.levels and key in query.obs:
            names_of_key = label_names if key == options.label else {}
            own = renamed(query.obs[key], names_of_key).astype(object)
            known = obs[key].astype("category").cat
            obs[key] = known.add_categories(sorted({*own.dropna()}.difference(known.categories)))
            obs.loc[obs.index[ref.n_obs :], key] = own.to_numpy()
        if keys.colors(key) in ref.uns:
            joined.uns[keys.colors(key)] = ref.uns[keys.colors(key)]
    joined.obs = obs
    return joined, genes
