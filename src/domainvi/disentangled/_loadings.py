"""Loadings of genes on the units of a subspace, modulated by the metadata of the row."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class ModulatedLoadings(nn.Module):
    r"""Contribution of one subspace to the scores of the genes.

    .. math:: c_i = U \bigl( g(m_i) \odot z_i \bigr), \qquad
              g(m) = \bigl[\, m_{\text{direct}},\; 1 + B\,\phi(A m) \,\bigr]

    with loadings :math:`U` of shape ``(n_output, n_units)``. The first units are *direct*: each
    belongs to one level of one factor and counts only in rows of that level, so that it can be
    read, ablated or exchanged. The others *interact*: an embedding of all the metadata of the group
    stretches them. Loadings of a row are :math:`U\,\mathrm{diag}(g(m_i))`, so that no matrix of
    genes by units is ever made for a row. The form is that of the output layer of MFD (Rakowski et
    al., Bioinformatics 2024), with expression for tracks and rows for windows.

    Parameters
    ----------
    n_units
        Units of the subspace.
    n_output
        Genes.
    n_metadata
        Width of the metadata of the group: one column a level, one for a number.
    direct
        Columns of the metadata that own a unit, in the order of the units.
    n_embedding
        Width of the embedding.
    """

    direct: torch.Tensor

    def __init__(
        self,
        n_units: int,
        n_output: int,
        n_metadata: int = 0,
        direct: tuple[int, ...] = (),
        n_embedding: int = 8,
    ) -> None:
        super().__init__()
        self.register_buffer("direct", torch.tensor(direct, dtype=torch.long))
        self.weight = nn.Parameter(torch.empty(n_output, n_units))
        nn.init.normal_(self.weight, std=n_units**-0.5)
        self.embedding: nn.Sequential | None = None
        n_interacting = n_units - len(direct)
        if n_metadata and n_interacting:
            last = nn.Linear(n_embedding, n_interacting)
            # Every row starts with the same loadings.
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.embedding = nn.Sequential(nn.Linear(n_metadata, n_embedding), nn.GELU(), last)

    def gain(self, metadata: torch.Tensor) -> torch.Tensor:
        """Factor of each unit in each row, ``(n_rows, n_units)``."""
        switches = metadata[:, self.direct]
        if self.embedding is None:
            n_rest = self.weight.shape[1] - len(self.direct)
            return torch.cat([switches, metadata.new_ones(len(metadata), n_rest)], dim=1)
        return torch.cat([switches, 1 + self.embedding(metadata)], dim=1)

    def forward(
        self, z: torch.Tensor, metadata: torch.Tensor, genes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the contribution to all genes, ``(n_rows, n_output)``, or to the ``genes`` named.

        Parameters
        ----------
        z
            Latents of the subspace, shape ``(n_rows, n_units)``.
        metadata
            Metadata of its group, shape ``(n_rows, n_metadata)``: one-hot levels or probabilities
            of them, and standardised numbers.
        genes
            Gene numbers; all if ``None``.
        """
        weight = self.weight if genes is None else self.weight[genes]
        return functional.linear(z * self.gain(metadata), weight)
