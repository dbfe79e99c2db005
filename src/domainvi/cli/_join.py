"""Check reference and query, and put them into one object, matched by gene name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import domainvi._keys as keys
from domainvi.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from domainvi.data import GeneAlignment

    from ._options import Training


def check_reference(ref: AnnData, options: Training) -> None:
    """Refuse a reference that nothing can be learned from; a single cohort is enough."""
    from domainvi.data import check_setup

    check_setup(
        ref,
        batch_keys=[options.batch],
        labels_key=options.labels,
        unlabeled_category=options.unlabeled,
        layer=options.layer,
        target_keys=options.targets,
        require_domains=False,
    )


def check_query(query: AnnData, options: Training) -> None:
    """Refuse a query that cannot be predicted; it needs neither labels nor a cohort column."""
    from domainvi.data import check_setup

    check_setup(
        query,
        batch_keys=[options.batch] if options.batch in query.obs else [],
        labels_key=None,
        layer=options.layer,
        require_labels=False,
        require_domains=False,
    )


def check_scales(ref: AnnData, query: AnnData, layer: str | None) -> None:
    """Refuse counts on one side and other values on the other."""
    from domainvi.data import describe_matrix

    kinds = [describe_matrix(a.X if layer is None else a.layers[layer]).kind for a in (ref, query)]
    if (kinds[0] == "counts") != (kinds[1] == "counts"):
        words = ["counts" if kind == "counts" else "values that are no counts" for kind in kinds]
        msg = (
            f"The reference holds {words[0]} and the query {words[1]}. Bring both to one scale, "
            "such as log2(x + 1), or choose counts in both with --layer."
        )
        raise InputError(msg)


def cohort_of(query: AnnData, options: Training, name: str, taken: set[str]) -> pd.Series:
    """Return the cohort of each row of the query; one new cohort where there is no such column."""
    import pandas as pd

    if options.batch in query.obs:
        cohort = query.obs[options.batch].astype(str)
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
    ref: AnnData, query: AnnData, cohort: pd.Series, options: Training
) -> tuple[AnnData, GeneAlignment]:
    """Stack reference and query on the genes that they share; the query's labels stay out."""
    import anndata as ad
    import numpy as np
    import pandas as pd

    from domainvi.data import align_genes

    targets = options.targets or ()
    genes = align_genes(query.var_names, ref.var_names)
    shared = ref.var_names[genes.mask]
    obs = pd.DataFrame(
        {
            options.batch: np.r_[ref.obs[options.batch].astype(str), cohort.to_numpy()],
            options.labels: _labels(ref, query.n_obs, options),
        },
        index=[str(i) for i in range(ref.n_obs + query.n_obs)],
    )
    for key in targets:
        # Categories as they are, and nothing for the query: its own values are not used.
        obs[key] = ref.obs[key].reset_index(drop=True).reindex(range(len(obs))).to_numpy()
        if isinstance(ref.obs[key].dtype, pd.CategoricalDtype):
            obs[key] = pd.Categorical(obs[key], categories=ref.obs[key].cat.categories)
    parts = [_values(part[:, shared], options.layer) for part in (ref, query)]
    stacked = ad.concat(parts, keys=["ref", "query"], index_unique="-")
    out = ad.AnnData(stacked.X, obs=obs, var=pd.DataFrame(index=shared))
    for colours in map(keys.colors, (options.labels, *targets)):
        if colours in ref.uns:
            out.uns[colours] = ref.uns[colours]
    return out, genes


def _labels(ref: AnnData, n_hidden: int, options: Training) -> pd.Categorical:
    """Return the reference's labels in its own order of classes, then as many hidden ones."""
    import pandas as pd

    known = ref.obs[options.labels].astype("category").cat
    names = known.categories.astype(str).tolist()
    if options.unlabeled not in names:
        names.append(options.unlabeled)
    codes = [*known.codes, *[names.index(options.unlabeled)] * n_hidden]
    return pd.Categorical.from_codes(codes, categories=names)


def _values(part: AnnData, layer: str | None) -> AnnData:
    """Return the expression values alone."""
    import anndata as ad
    import pandas as pd

    matrix = part.X if layer is None else part.layers[layer]
    obs = pd.DataFrame(index=[str(i) for i in range(part.n_obs)])
    return ad.AnnData(matrix, obs=obs, var=pd.DataFrame(index=part.var_names))
