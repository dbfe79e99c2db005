"""Reference and query as one object, matched by gene name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domainvi.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from domainvi.data import GeneAlignment


@dataclass(frozen=True)
class Columns:
    """The names that the command was given."""

    batch: str
    labels: str
    unlabeled: str
    layer: str | None


def check_reference(ref: "AnnData", columns: Columns) -> None:
    """Refuse a reference that cannot teach; a single cohort is enough."""
    from domainvi.data import check_setup

    check_setup(
        ref,
        batch_keys=[columns.batch],
        labels_key=columns.labels,
        unlabeled_category=columns.unlabeled,
        layer=columns.layer,
        require_domains=False,
    )


def check_query(query: "AnnData", columns: Columns) -> None:
    """Refuse a query that cannot be predicted; it needs neither labels nor a cohort column."""
    from domainvi.data import check_setup

    check_setup(
        query,
        batch_keys=[columns.batch] if columns.batch in query.obs else [],
        labels_key=None,
        layer=columns.layer,
        require_labels=False,
        require_domains=False,
    )


def check_scales(ref: "AnnData", query: "AnnData", layer: str | None) -> None:
    """Refuse counts on one side and other values on the other.

    Raises
    ------
    InputError
        As said.
    """
    from domainvi.data import describe_matrix

    kinds = [describe_matrix(a.X if layer is None else a.layers[layer]).kind for a in (ref, query)]
    if (kinds[0] == "counts") != (kinds[1] == "counts"):
        words = [
            "whole counts" if kind == "counts" else "values that are no counts" for kind in kinds
        ]
        msg = (
            f"The reference holds {words[0]} and the query {words[1]}. Bring both to one scale, "
            "such as log2(x + 1), or choose counts in both with --layer."
        )
        raise InputError(msg)


def cohort_of(query: "AnnData", columns: Columns, name: str, taken: set[str]) -> "pd.Series":
    """Return the cohort of each row of the query; one new cohort where there is no such column."""
    import pandas as pd

    if columns.batch in query.obs:
        return query.obs[columns.batch].astype(str)
    while name in taken:
        name += " (query)"
    return pd.Series(name, index=query.obs_names)


def join(
    ref: "AnnData", query: "AnnData", cohort: "pd.Series", columns: Columns
) -> tuple["AnnData", "GeneAlignment"]:
    """Stack reference and query on the genes that they share; the query's labels stay out.

    Raises
    ------
    GeneMatchError
        If the query has less than half of the reference's genes.
    """
    import anndata as ad
    import numpy as np
    import pandas as pd

    from domainvi.data import align_genes

    genes = align_genes(query.var_names, ref.var_names)
    shared = ref.var_names[genes.mask]
    labels = ref.obs[columns.labels].astype(object)
    hidden = np.full(query.n_obs, columns.unlabeled, dtype=object)
    obs = pd.DataFrame(
        {
            columns.batch: np.r_[ref.obs[columns.batch].astype(str), cohort.to_numpy()],
            columns.labels: np.r_[labels.to_numpy(), hidden],
        },
        index=[
            *(f"ref-{i}" for i in range(ref.n_obs)),
            *(f"query-{i}" for i in range(query.n_obs)),
        ],
    )
    parts = [_values(part[:, shared], columns.layer) for part in (ref, query)]
    stacked = ad.concat(parts, keys=["ref", "query"], index_unique="-")
    return ad.AnnData(stacked.X, obs=obs, var=pd.DataFrame(index=shared)), genes


def _values(part: "AnnData", layer: str | None) -> "AnnData":
    """Return the expression values alone."""
    import anndata as ad
    import pandas as pd

    matrix = part.X if layer is None else part.layers[layer]
    obs = pd.DataFrame(index=[str(i) for i in range(part.n_obs)])
    return ad.AnnData(matrix, obs=obs, var=pd.DataFrame(index=part.var_names))
