r"""Corruption of expression values: what a pretraining task hides from the encoder.

A mask :math:`m \in \{0, 1\}^{n \times G}` says which values are replaced. The replacement of gene
:math:`g` in row :math:`i` is drawn from the empirical marginal of the gene: its value in another
row, drawn anew for every gene, row and step (Bahri et al., SCARF, ICLR 2022; Yoon et al., VIME,
NeurIPS 2020). So genes are replaced independently of each other, and each keeps its distribution.
"""

from __future__ import annotations

import torch


def draw_mask(x: torch.Tensor, rate: float, *, exact: bool = False) -> torch.Tensor:
    """Draw which values of ``x`` are replaced: each with probability ``rate``.

    With ``exact``, the same number of genes, ``int(rate * n_genes)``, in each row.
    """
    noise = torch.rand(x.shape, device=x.device)
    if not exact:
        return noise < rate
    chosen = noise.topk(int(rate * x.shape[1]), dim=1).indices
    return torch.zeros_like(x, dtype=torch.bool).scatter_(1, chosen, value=True)


def draw_donors(
    mask: torch.Tensor, group: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw a row for every masked value; return row, gene and donor of each.

    Donors are of the same group where group codes ``(n_rows,)`` are given; a row without others in
    its group is its own donor.
    """
    row, gene = mask.nonzero(as_tuple=True)
    share = torch.rand(len(row), device=mask.device)
    if group is None:
        return row, gene, (share * mask.shape[0]).long()
    order = group.argsort(stable=True)
    size = torch.bincount(group)
    start = size.cumsum(0) - size
    own = group[row]
    return row, gene, order[start[own] + (share * size[own]).long()]


def swap_values(
    x: torch.Tensor, mask: torch.Tensor, group: torch.Tensor | None = None
) -> torch.Tensor:
    """Replace masked values, on a scale that rows share, by those of the genes in other rows."""
    row, gene, donor = draw_donors(mask, group)
    out = x.clone()
    out[row, gene] = x[donor, gene]
    return out


def swap_counts(
    x: torch.Tensor,
    library: torch.Tensor,
    mask: torch.Tensor,
    group: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Replace masked counts by those of other rows, at the depth of the row they enter.

    The count :math:`x_{jg}` of the donor :math:`j` becomes :math:`x_{jg} \ell_i / \ell_j`, rounded
    up or down at random so that its expectation stays and it is a whole number. The library size
    follows: :math:`\tilde\ell_i = \ell_i \sum_g \tilde x_{ig} / \sum_g x_{ig}`. What is normalised
    afterwards is so a row that could have been sequenced, and unmasked genes fall when masked
    ones rise, as they do in real libraries.

    Returns
    -------
    Corrupted counts, and their library sizes ``(n_rows, 1)``.
    """
    row, gene, donor = draw_donors(mask, group)
    size = library.squeeze(-1).clamp_min(1e-8)
    moved = x[donor, gene] * (size[row] / size[donor])
    out = x.clone()
    out[row, gene] = torch.floor(moved + torch.rand_like(moved))
    ratio = out.sum(dim=1, keepdim=True) / x.sum(dim=1, keepdim=True).clamp_min(1e-8)
    return out, library * ratio


def uniform_values(
    x: torch.Tensor, mask: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> torch.Tensor:
    """Replace masked values by uniform draws between a gene's least and largest value.

    That is what the published code of arXiv 2507.13912 does in place of the empirical marginal.
    """
    return torch.where(mask, low + (high - low) * torch.rand_like(x), x)
