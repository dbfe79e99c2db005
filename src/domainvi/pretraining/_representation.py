"""How a set of embeddings lies in space: spread out, or collapsed."""

from __future__ import annotations

import torch
from torch.nn import functional


def effective_rank(z: torch.Tensor) -> torch.Tensor:
    r"""Count the directions that embeddings fill.

    :math:`\exp(-\sum_k p_k \log p_k)` with :math:`p_k = \sigma_k / \sum_l \sigma_l` and the
    singular values :math:`\sigma` of the centred embeddings (Roy and Vetterli, EUSIPCO 2007). 1 for
    embeddings on a line, ``width`` for an even cloud.

    Parameters
    ----------
    z
        Embeddings, shape ``(n_rows, width)``.

    Examples
    --------
    >>> float(effective_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])))
    2.0
    """
    singular = torch.linalg.svdvals(z - z.mean(dim=0))
    p = singular / singular.sum().clamp_min(1e-12)
    return torch.exp(-torch.xlogy(p, p).sum())


def alignment(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    r"""Mean squared distance of two views, :math:`E \lVert u - u' \rVert^2` on the unit sphere.

    0 where corruption changes nothing, 2 for unrelated vectors (Wang and Isola, ICML 2020).

    Parameters
    ----------
    a, b
        Embeddings of both views, shape ``(n_rows, width)``; they are normalised first.

    Examples
    --------
    >>> float(alignment(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])))
    2.0
    """
    difference = functional.normalize(a, dim=1) - functional.normalize(b, dim=1)
    return difference.square().sum(dim=1).mean()


def uniformity(z: torch.Tensor) -> torch.Tensor:
    r"""How evenly embeddings cover the unit sphere: :math:`\log E \exp(-2 \lVert u - v \rVert^2)`.

    0 when all are the same, below -3 when they are spread out (Wang and Isola, ICML 2020).

    Parameters
    ----------
    z
        Embeddings, shape ``(n_rows, width)``, at least two; they are normalised first.

    Examples
    --------
    >>> float(uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])))
    -8.0
    """
    distance = torch.pdist(functional.normalize(z, dim=1)).square()
    return torch.logsumexp(-2 * distance, dim=0) - torch.log(torch.tensor(float(len(distance))))
