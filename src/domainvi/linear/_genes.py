"""Which genes matter: those that vary within domains, and those that differ between classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._rows import blocks
from ._statistics import moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._rows import TrainingRows

N_TOP_GENES = 2000


def leading_genes(rows: TrainingRows, n_genes: int | None = None) -> NDArray[np.int64]:
    """Find the genes with the largest mean variance within domains, 2,000 of them, in order."""
    variance = np.zeros(rows.x.shape[1])
    for some in blocks(len(variance)):
        within = [rows.x[rows.domain == d, some].var(axis=0) for d in np.unique(rows.domain)]
        variance[some] = np.mean(within, axis=0)
    return np.sort(np.argsort(-variance, kind="stable")[: n_genes or N_TOP_GENES])


def gene_weights(rows: TrainingRows) -> NDArray[np.float64]:
    r"""Weight of each gene by how much it differs between classes within a domain.

    With :math:`e` the share of the class-balanced variance that lies between class means, averaged
    over domains by their rows and less twice its expectation under no difference, the weight is
    :math:`\sqrt{e / (1.1 - e)}`: near zero for most genes, and large for the few that tell the
    classes apart.

    Returns
    -------
    Shape ``(n_genes,)``; ones when no domain has two classes with two rows.
    """
    explained, n, freedom = np.zeros(rows.x.shape[1]), 0, 0
    for d in range(rows.n_domains):
        inside = rows.labelled & (rows.domain == d)
        count = np.bincount(rows.label[inside], minlength=rows.n_classes)
        classes = np.flatnonzero(count >= 2)
        if len(classes) < 2:
            continue
        groups = [moments(rows.x[inside & (rows.label == c)]) for c in classes]
        between = np.var([mean for mean, _ in groups], axis=0)
        within = np.mean([np.square(scale) for _, scale in groups], axis=0)
        explained += inside.sum() * between / (between + within + 1e-12)
        n += inside.sum()
        freedom += len(classes) - 1
    if n == 0:
        return np.ones(rows.x.shape[1])
    e = np.maximum((explained - 2 * freedom) / n, 0.0)
    return np.sqrt(e / (1.1 - e) + 1e-6)
