"""How far blocks of latents depend on each other: three measures, each 0 at independence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from domainvi.nn import reverse_gradient

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

EPSILON = 1e-6
# Width of the two hidden layers of the discriminator.
N_HIDDEN = 64


def strata_of(stratum: torch.Tensor | None, n_rows: int, device: torch.device) -> Iterator:
    """Yield the row numbers of each stratum; all rows when there are no strata."""
    if stratum is None:
        yield torch.arange(n_rows, device=device)
        return
    for code in torch.unique(stratum):
        yield torch.nonzero(stratum == code).squeeze(1)


def centre_columns(x: torch.Tensor, stratum: torch.Tensor | None = None) -> torch.Tensor:
    """Subtract from each column its mean, within strata where they are given."""
    if stratum is None:
        return x - x.mean(dim=0)
    _, code = torch.unique(stratum, return_inverse=True)
    member = functional.one_hot(code).to(x.dtype)
    means = (member.T @ x) / member.sum(dim=0)[:, None]
    return x - means[code]


def standardise_columns(x: torch.Tensor, stratum: torch.Tensor | None = None) -> torch.Tensor:
    """Bring columns to mean 0 and standard deviation 1; constant ones become 0."""
    centred = centre_columns(x, stratum)
    return centred / (centred.square().mean(dim=0) + EPSILON**2).sqrt().clamp_min(EPSILON)


def cross_covariance(
    a: torch.Tensor, b: torch.Tensor, stratum: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Mean squared correlation between the columns of two blocks.

    .. math:: \frac{1}{d_a d_b} \bigl\lVert \tilde a^\top \tilde b / n \bigr\rVert_F^2

    with standardised columns :math:`\tilde a, \tilde b`: between 0 and 1 whatever the sizes of the
    blocks and the scale of their columns, so that one weight serves all. With strata the columns
    are centred within them, which makes the correlations partial.

    Parameters
    ----------
    a, b
        Blocks, shapes ``(n_rows, d_a)`` and ``(n_rows, d_b)``.
    stratum
        Code of the stratum of each row, shape ``(n_rows,)``.

    Examples
    --------
    >>> a = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    >>> cross_covariance(a, torch.tensor([[0.0], [1.0], [0.0], [1.0]])).item()
    0.0
    >>> round(cross_covariance(a, 3 - 2 * a).item(), 4)
    1.0
    """
    correlation = standardise_columns(a, stratum).T @ standardise_columns(b, stratum) / len(a)
    return correlation.square().mean()


def hsic(a: torch.Tensor, b: torch.Tensor, stratum: torch.Tensor | None = None) -> torch.Tensor:
    r"""Hilbert-Schmidt independence criterion with Gaussian kernels, normalised.

    .. math:: \frac{\mathrm{tr}(\bar K \bar L)}
                   {\sqrt{\mathrm{tr}(\bar K \bar K)\, \mathrm{tr}(\bar L \bar L)}}

    with doubly centred kernel matrices :math:`\bar K, \bar L` of the blocks (Gretton et al., ALT
    2005; normalised as in Cortes et al., JMLR 2012), between 0 and 1, and 0 when the rows hold
    every value of one block with every value of the other. The bandwidth is the median distance
    and a constant to the gradient. With strata, numerator and denominator are summed over them.

    Parameters
    ----------
    a, b
        Blocks, shapes ``(n_rows, d_a)`` and ``(n_rows, d_b)``.
    stratum
        Code of the stratum of each row, shape ``(n_rows,)``.

    Examples
    --------
    >>> a = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    >>> b = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    >>> abs(hsic(a, b).item()) < 1e-6, round(hsic(a, a).item(), 4)
    (True, 1.0)
    """
    cross, own_a, own_b = a.new_zeros(()), a.new_zeros(()), a.new_zeros(())
    for rows in strata_of(stratum, len(a), a.device):
        k, m = centred_kernel(a[rows]), centred_kernel(b[rows])
        cross = cross + (k * m).sum()
        own_a, own_b = own_a + k.square().sum(), own_b + m.square().sum()
    return cross / (own_a * own_b + EPSILON**2).sqrt()


def centred_kernel(x: torch.Tensor) -> torch.Tensor:
    """Doubly centred Gaussian kernel matrix of rows, with the median distance as bandwidth."""
    gram = x @ x.T
    norms = gram.diagonal()
    squared = (norms[:, None] + norms[None, :] - 2 * gram).clamp_min(0.0)
    apart = squared.detach()[squared.detach() > EPSILON]
    width = apart.median() if apart.numel() else squared.new_ones(())
    kernel = torch.exp(-squared / width)
    means = kernel.mean(dim=0)
    return kernel - means[:, None] - means[None, :] + means.mean()


def shuffle_blocks(
    blocks: Sequence[torch.Tensor],
    generator: np.random.Generator,
    stratum: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """Permute the rows of every block but the first on its own, within strata where given."""
    n = len(blocks[0])
    out = [blocks[0]]
    for block in blocks[1:]:
        order = torch.arange(n, device=block.device)
        for rows in strata_of(stratum, n, block.device):
            shuffled = torch.from_numpy(generator.permutation(len(rows))).to(block.device)
            order[rows] = rows[shuffled]
        out.append(block[order])
    return out


class JointDiscriminator(nn.Module):
    r"""Tell rows of the blocks as they are from rows whose blocks were shuffled.

    At its optimum the discriminator is at chance if and only if the blocks are independent (the
    adversarially learnt penalty of MFD; Rakowski et al., Bioinformatics 2024). With cross-entropy
    :math:`H` the dependence is :math:`\log 2 - H`, a lower bound of the Jensen-Shannon divergence
    of joint and product, which the discriminator raises and, by gradient reversal, the encoder
    lowers.

    Parameters
    ----------
    n_latent
        Total width of the blocks.
    """

    def __init__(self, n_latent: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(n_latent, N_HIDDEN),
            nn.LeakyReLU(0.2),
            nn.Linear(N_HIDDEN, N_HIDDEN),
            nn.LeakyReLU(0.2),
            nn.Linear(N_HIDDEN, 1),
        )

    def forward(
        self, blocks: Sequence[torch.Tensor], shuffled: Sequence[torch.Tensor], reversal: float
    ) -> torch.Tensor:
        r"""Return the cross-entropy less :math:`\log 2`, to be minimised; 0 at chance.

        Parameters
        ----------
        blocks, shuffled
            Blocks of the rows, each ``(n_rows, width)``, and the same after shuffling.
        reversal
            Weight of the term: the gradient to the blocks is multiplied by minus this.
        """
        joint, product = (torch.cat(list(b), dim=1) for b in (blocks, shuffled))
        rows = reverse_gradient(torch.cat([joint, product]), reversal)
        is_joint = torch.cat([joint.new_ones(len(joint)), joint.new_zeros(len(product))])
        scores = self.network(rows).squeeze(1)
        return functional.binary_cross_entropy_with_logits(scores, is_joint) - math.log(2)
