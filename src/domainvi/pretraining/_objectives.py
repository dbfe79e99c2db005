"""The pretraining objectives: an encoder, the heads that are thrown away, and the loss on them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from ._losses import byol_loss, follow, info_nce, vime_loss

if TYPE_CHECKING:
    from domainvi.nn import GaussianEncoder

    from ._settings import PretrainingSettings


class Views(NamedTuple):
    """Two views of standardised rows, the rows themselves, and where ``second`` differs."""

    first: torch.Tensor
    second: torch.Tensor
    clean: torch.Tensor
    mask: torch.Tensor


def projector(n_in: int, n_hidden: int, n_out: int) -> nn.Sequential:
    """Two layers with LayerNorm between them."""
    return nn.Sequential(
        nn.Linear(n_in, n_hidden), nn.LayerNorm(n_hidden), nn.GELU(), nn.Linear(n_hidden, n_out)
    )


class Objective(nn.Module):
    """The model's encoder, whose means are trained and kept, with the heads of one method."""

    def __init__(
        self, encoder: GaussianEncoder, n_genes: int, n_latent: int, settings: PretrainingSettings
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.settings = settings
        self.add_heads(n_genes, n_latent, settings.width)

    def add_heads(self, n_genes: int, n_latent: int, width: int) -> None:
        """Add what the method needs beside the encoder."""

    def embed(self, s: torch.Tensor) -> torch.Tensor:
        """Latent means of standardised rows."""
        return self.encoder(s)[0]

    def project(self, s: torch.Tensor) -> torch.Tensor:
        """Map rows to the vectors that the loss compares."""
        return self.embed(s)

    def after_step(self) -> None:
        """Do what follows an update of the weights."""


class Scarf(Objective):
    """Contrast two views by :func:`~domainvi.nn.info_nce` (Bahri et al., ICLR 2022)."""

    def add_heads(self, n_genes: int, n_latent: int, width: int) -> None:
        """Add the projector."""
        self.projector = projector(n_latent, width, width)

    def project(self, s: torch.Tensor) -> torch.Tensor:
        """Project the latent means."""
        return self.projector(self.embed(s))

    def forward(self, views: Views) -> torch.Tensor:
        """Loss of a step."""
        first, second = self.project(views.first), self.project(views.second)
        return info_nce(first, second, self.settings.temperature)


class Byol(Objective):
    """Predict an averaged network's view of the other half (Grill et al., NeurIPS 2020)."""

    def add_heads(self, n_genes: int, n_latent: int, width: int) -> None:
        """Add projector, predictor and the averaged copy of encoder and projector."""
        self.projector = projector(n_latent, width, width)
        self.predictor = projector(width, width, width)
        self.average = nn.ModuleList(copy.deepcopy([self.encoder, self.projector]))
        self.average.requires_grad_(False)

    def project(self, s: torch.Tensor) -> torch.Tensor:
        """Project the latent means."""
        return self.projector(self.embed(s))

    def target(self, s: torch.Tensor) -> torch.Tensor:
        """Projections of the averaged network."""
        encoder, head = self.average
        with torch.no_grad():
            return head(encoder(s)[0])

    def forward(self, views: Views) -> torch.Tensor:
        """Loss of a step, both ways."""
        first, second = (self.predictor(self.project(s)) for s in (views.first, views.second))
        there = byol_loss(first, self.target(views.second))
        return (there + byol_loss(second, self.target(views.first))) / 2

    def after_step(self) -> None:
        """Let the averaged network follow."""
        online = nn.ModuleList([self.encoder, self.projector])
        follow(self.average, online, self.settings.ema_decay)


class Vime(Objective):
    """Find the mask and the values behind it (Yoon et al., NeurIPS 2020)."""

    def add_heads(self, n_genes: int, n_latent: int, width: int) -> None:
        """Add the decoders of mask and values."""
        self.mask_head = projector(n_latent, width, n_genes)
        self.value_head = projector(n_latent, width, n_genes)

    def forward(self, views: Views) -> torch.Tensor:
        """Loss of a step."""
        z = self.embed(views.second)
        weight = self.settings.feature_weight
        return vime_loss(self.mask_head(z), views.mask, self.value_head(z), views.clean, weight)


OBJECTIVES: dict[str, type[Objective]] = {"scarf": Scarf, "vime": Vime, "byol": Byol}
