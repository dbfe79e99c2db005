"""Input scaling as part of the model: library size, logarithm, per-domain centre and scale."""

from __future__ import annotations

import torch
from torch import nn

CLIP = 8.0


def log_normalise(
    x: torch.Tensor,
    library: torch.Tensor,
    target_sum: float | torch.Tensor,
    n_stored: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Bring counts to :math:`\log(1 + t x_g / \ell)` with library size :math:`\ell`.

    Parameters
    ----------
    x
        Counts, shape ``(n_rows, n_genes)``.
    library
        Library size of each row, shape ``(n_rows, 1)``.
    target_sum
        :math:`t`, the library size that all rows are brought to.
    n_stored
        Given, ``x`` are the stored values of sparse rows, and this is how many each has.

    Examples
    --------
    >>> log_normalise(torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0]]), 1e4)
    tensor([[0.0000, 9.2104]])
    """
    ratio = target_sum / library.clamp_min(1e-8)
    if n_stored is not None:
        ratio = torch.repeat_interleave(ratio.squeeze(1), n_stored, output_size=len(x))
    return torch.log1p(x * ratio)


class Standardiser(nn.Module):
    """Centre and scale by domain; saved with the weights.

    Parameters
    ----------
    n_domains
        Number of domains.
    n_input
        Genes.
    """

    loc: torch.Tensor
    scale: torch.Tensor
    is_shared: torch.Tensor

    def __init__(self, n_domains: int, n_input: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(n_domains, n_input))
        self.register_buffer("scale", torch.ones(n_domains, n_input))
        # Whether every domain, new ones too, has the same centre and scale.
        self.register_buffer("is_shared", torch.zeros((), dtype=torch.bool))

    def set_statistics(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        """Replace centre and scale, each ``(n_domains, n_input)``."""
        self.loc.copy_(loc)
        self.scale.copy_(scale)

    def forward(
        self,
        x: torch.Tensor,
        domain: torch.Tensor,
        statistics: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Standardise rows by the statistics of their domain and clip at ±8 standard deviations.

        Parameters
        ----------
        x
            Log values, shape ``(n_rows, n_input)``.
        domain
            Domain codes, shape ``(n_rows,)``.
        statistics
            Centre and scale to use in place of the stored ones, for cohorts that were not in
            training.
        """
        loc, scale = (self.loc, self.scale) if statistics is None else statistics
        return ((x - loc[domain]) / scale[domain]).clamp(-CLIP, CLIP)
