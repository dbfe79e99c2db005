"""Losses of self-supervised pretraining."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def info_nce(a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
    r"""Tell the other view of a row from the views of all other rows.

    With the :math:`2n` normalised vectors :math:`u` of both views, :math:`s_{ij} = u_i \cdot u_j /
    \tau` and :math:`i'` the other view of :math:`i`,

    .. math:: L = -\frac{1}{2n} \sum_i \log
              \frac{\exp s_{ii'}}{\sum_{j \ne i} \exp s_{ij}},

    the InfoNCE loss (van den Oord et al., 2018) in the form NT-Xent (Chen et al., SimCLR, ICML
    2020) that the published implementation of SCARF (Bahri et al., ICLR 2022) uses.

    Parameters
    ----------
    a, b
        Projections of both views, shape ``(n_rows, width)``.
    temperature
        :math:`\tau`.

    Examples
    --------
    >>> u = torch.eye(2)
    >>> round(float(info_nce(u, u, 1.0)), 4)  # -1 + log(e + 2)
    0.5514
    """
    n = len(a)
    u = functional.normalize(torch.cat([a, b]), dim=1)
    scores = (u @ u.T / temperature).fill_diagonal_(-torch.inf)
    other = torch.arange(2 * n, device=u.device).roll(n)
    return functional.cross_entropy(scores, other)


def byol_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    r"""Mean of :math:`2 - 2 \cos(p, t)`, no gradient to the target (Grill et al., NeurIPS 2020).

    Parameters
    ----------
    prediction
        Predictions of the online network, shape ``(n_rows, width)``.
    target
        Projections of the averaged network for the other view, of the same shape.

    Examples
    --------
    >>> float(byol_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])))
    2.0
    """
    return (2 - 2 * functional.cosine_similarity(prediction, target.detach(), dim=1)).mean()


@torch.no_grad()
def follow(average: nn.Module, online: nn.Module, decay: float) -> None:
    r"""Move an exponential average of weights: :math:`\xi \leftarrow d\,\xi + (1 - d)\,\theta`.

    Parameters
    ----------
    average, online
        Modules of the same form.
    decay
        :math:`d`.
    """
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

    Parameters
    ----------
    mask_logits
        Logits of the estimated mask, shape ``(n_rows, n_genes)``.
    mask
        Which values differ from the clean ones. A draw that happened to give the old value is no
        corruption, and nobody could find it.
    features
        Estimated values.
    x
        Clean values.
    feature_weight
        :math:`\alpha`.

    Examples
    --------
    >>> zero = torch.zeros(1, 2)
    >>> loss = vime_loss(zero, zero.bool(), zero, zero + 1.0, 2.0)
    >>> round(float(loss), 4)  # log 2 + 2 * 1
    2.6931
    """
    found = functional.binary_cross_entropy_with_logits(mask_logits, mask.float())
    return found + feature_weight * functional.mse_loss(features, x)
