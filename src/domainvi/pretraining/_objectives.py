"""Pretraining objectives: their losses, heads that are thrown away, and whether it collapsed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from domainvi.nn import GaussianEncoder

    from ._settings import PretrainingSettings


def info_nce(a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
    r"""Tell the other view of a row from the views of all other rows.

    With the :math:`2n` normalised vectors :math:`u` of both views, :math:`s_{ij} = u_i \cdot u_j /
    \tau` and :math:`i'` the other view of :math:`i`,

    .. math:: L = -\frac{1}{2n} \sum_i \log
              \frac{\exp s_{ii'}}{\sum_{j \ne i} \exp s_{ij}},

    the InfoNCE loss (van den Oord et al., 2018) in the form NT-Xent (Chen et al., SimCLR, ICML
    2020) that the published implementation of SCARF (Bahri et al., ICLR 2022) uses.
    """
    n = len(a)
    u = functional.normalize(torch.cat([a, b]), dim=1)
    scores = (u @ u.T / temperature).fill_diagonal_(-torch.inf)
    other = torch.arange(2 * n, device=u.device).roll(n)
    return functional.cross_entropy(scores, other)


def byol_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    r"""Mean of :math:`2 - 2 \cos(p, t)`, no gradient to the target (Grill et al., NeurIPS 2020)."""
    return (2 - 2 * functional.cosine_similarity(prediction, target.detach(), dim=1)).mean()


@torch.no_grad()
def follow(average: nn.Module, online: nn.Module, decay: float) -> None:
    r"""Move an exponential average of weights: :math:`\xi \leftarrow d\,\xi + (1 - d)\,\theta`."""
    for mean, parameter in zip(average.parameters(), online.parameters(), strict=True):
        mean.lerp_(parameter, 1 - decay)


def vime_loss(
    mask_logits: torch.Tensor,
    mask: torch.Tensor,
    features: torch.Tensor,
    x: torch.Tensor,
    feature_weight: float,
) -> torch.Tensor:
    r"""Find which values were replaced, and what they were (Yoon et al., VIME, NeurIPS 2020).

    .. math:: L = \frac{1}{nG} \sum_{ig} \mathrm{BCE}(\hat m_{ig}, m_{ig})
                  + \alpha \frac{1}{nG} \sum_{ig} (\hat x_{ig} - x_{ig})^2 .

    The ``mask`` marks values that differ from the clean ones, ``x``. A draw that happened to give
    the old value is no corruption, and nobody could find it.
    """
    found = functional.binary_cross_entropy_with_logits(mask_logits, mask.float())
    return found + feature_weight * functional.mse_loss(features, x)


def effective_rank(z: torch.Tensor) -> torch.Tensor:
    r"""Count the directions that embeddings fill.

    :math:`\exp(-\sum_k p_k \log p_k)` with :math:`p_k = \sigma_k / \sum_l \sigma_l` and the
    singular values :math:`\sigma` of the centred embeddings (Roy and Vetterli, EUSIPCO 2007). 1 for
    embeddings on a line, ``width`` for an even cloud.
    """
    singular = torch.linalg.svdvals(z - z.mean(dim=0))
    p = singular / singular.sum().clamp_min(1e-12)
    return torch.exp(-torch.xlogy(p, p).sum())


def alignment(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    r"""Mean squared distance of two views, :math:`E \lVert u - u' \rVert^2` on the unit sphere.

    0 where corruption changes nothing, 2 for unrelated vectors (Wang and Isola, ICML 2020).
    """
    difference = functional.normalize(a, dim=1) - functional.normalize(b, dim=1)
    return difference.square().sum(dim=1).mean()


def uniformity(z: torch.Tensor) -> torch.Tensor:
    r"""How evenly embeddings cover the unit sphere: :math:`\log E \exp(-2 \lVert u - v \rVert^2)`.

    0 when all are the same, below -3 when they are spread out (Wang and Isola, ICML 2020).
    """
    distance = torch.pdist(functional.normalize(z, dim=1)).square()
    return torch.logsumexp(-2 * distance, dim=0) - torch.log(torch.tensor(float(len(distance))))


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
        """Add what the method needs beside the encoder; by default a projector."""
        self.projector = projector(n_latent, width, width)

    def embed(self, s: torch.Tensor) -> torch.Tensor:
        """Latent means of standardised rows."""
        return self.encoder(s)[0]

    def project(self, s: torch.Tensor) -> torch.Tensor:
        """Map rows to the vectors that the loss compares."""
        return self.projector(self.embed(s))

    def after_step(self) -> None:
        """Do what follows an update of the weights."""


class Scarf(Objective):
    """Contrast two views by ``info_nce`` (Bahri et al., ICLR 2022)."""

    def forward(self, views: Views) -> torch.Tensor:
        """Loss of a step."""
        first, second = self.project(views.first), self.project(views.second)
        return info_nce(first, second, self.settings.temperature)


class Byol(Objective):
    """Predict an averaged network's view of the other half (Grill et al., NeurIPS 2020)."""

    def add_heads(self, n_genes: int, n_latent: int, width: int) -> None:
        """Add projector, predictor and the averaged copy of encoder and projector."""
        super().add_heads(n_genes, n_latent, width)
        self.predictor = projector(width, width, width)
        self.average = nn.ModuleList(copy.deepcopy([self.encoder, self.projector]))
        self.average.requires_grad_(False)

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

    def project(self, s: torch.Tensor) -> torch.Tensor:
        """Latent means: the loss compares no vectors."""
        return self.embed(s)

    def forward(self, views: Views) -> torch.Tensor:
        """Loss of a step."""
        z = self.embed(views.second)
        weight = self.settings.feature_weight
        return vime_loss(self.mask_head(z), views.mask, self.value_head(z), views.clean, weight)


OBJECTIVES: dict[str, type[Objective]] = {"scarf": Scarf, "vime": Vime, "byol": Byol}
