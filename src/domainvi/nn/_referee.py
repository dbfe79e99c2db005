"""The referee: a probe that is fitted afresh, and so cannot be out-run by the encoder."""

from __future__ import annotations

import math

import torch

from ._networks import one_hot, standardise_columns

N_FEATURES = 256
RIDGE = 1e-3
# Rows of a domain and class, on either side of the split, below which it is not probed.
MIN_ROWS = 4


def within_class_probe(
    z: torch.Tensor,
    domain: torch.Tensor,
    code: torch.Tensor,
    held_out: torch.Tensor,
    n_domains: int,
) -> tuple[float, float] | None:
    r"""Find the domain within each class by a fresh ridge classifier, on rows that it did not see.

    The features of a row are its standardised latents and 256 random Fourier features
    :math:`\sqrt{2} \cos(W z + b)` of a Gaussian kernel (Rahimi and Recht, NeurIPS 2007), so that
    the probe is linear and nonlinear at once and is fitted in closed form:

    .. math:: B = \Bigl(\sum_i w_i f_i f_i^\top + \rho I\Bigr)^{-1} \sum_i w_i f_i y_i^\top,

    with one-hot domains :math:`y` and weights that give each domain the same total.

    Parameters
    ----------
    z
        Latents, shape ``(n_rows, n_latent)``.
    domain, code
        Domain and class codes, shape ``(n_rows,)``.
    held_out
        Rows to score by, boolean, shape ``(n_rows,)``; the others are fitted to.
    n_domains
        Number of domains.

    Returns
    -------
    Mean recall over domains, averaged over the classes that two domains have, and chance;
    ``None`` where there is no such class.
    """
    generator = torch.Generator().manual_seed(0)
    z = standardise_columns(z.float())
    projection = torch.randn(z.shape[1], N_FEATURES, generator=generator) / math.sqrt(z.shape[1])
    phase = 2 * math.pi * torch.rand(N_FEATURES, generator=generator)
    fourier = math.sqrt(2) * torch.cos(z @ projection.to(z) + phase.to(z))
    features = torch.cat([z, fourier / math.sqrt(N_FEATURES), torch.ones_like(z[:, :1])], dim=1)
    found = []
    for k in torch.unique(code).tolist():
        rows = code == k
        sides = [
            torch.bincount(domain[rows & s], minlength=n_domains) for s in (held_out, ~held_out)
        ]
        kept = torch.minimum(*sides) >= MIN_ROWS
        if kept.sum() < 2:
            continue
        rows = rows & kept[domain]
        fit, test = rows & ~held_out, rows & held_out
        y = one_hot(domain[fit], n_domains)
        weighted = features[fit].T * (1 / y.sum(dim=0).clamp_min(1) / kept.sum())[domain[fit]]
        gram = weighted @ features[fit]
        gram.diagonal().add_(RIDGE)
        scores = features[test] @ torch.linalg.solve(gram, weighted @ y)
        hit = (scores[:, kept].argmax(dim=1) == kept.cumsum(0)[domain[test]] - 1).float()
        recall = hit.new_zeros(n_domains).index_add(0, domain[test], hit)
        n = torch.bincount(domain[test], minlength=n_domains)
        found.append(((recall / n.clamp_min(1))[kept].mean().item(), 1 / kept.sum().item()))
    if not found:
        return None
    accuracy, chance = torch.tensor(found).mean(dim=0).tolist()
    return accuracy, chance
