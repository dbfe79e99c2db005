"""One Gaussian for the latents of a row from those of its modalities."""

from __future__ import annotations

import torch


def product_of_experts(
    mean: torch.Tensor, variance: torch.Tensor, present: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Multiply the prior with one Gaussian for each modality that a row has.

    .. math:: q(z \mid x) \propto N(z; 0, 1) \prod_{m \in P} N(z; \mu_m, \sigma_m^2), \qquad
              \frac{1}{\sigma^2} = 1 + \sum_{m \in P} \frac{1}{\sigma_m^2}, \qquad
              \mu = \sigma^2 \sum_{m \in P} \frac{\mu_m}{\sigma_m^2}

    for the modalities :math:`P` of the row (Wu and Goodman, NeurIPS 2018). A modality that is
    missing is a factor of 1, so a row without any gets the prior, and a modality that knows
    nothing of a latent (a large variance) leaves it to the others.

    Parameters
    ----------
    mean, variance
        Moments of each expert, shape ``(n_modalities, n_rows, n_latent)``.
    present
        Whether a row has a modality, boolean, shape ``(n_rows, n_modalities)``.

    Returns
    -------
    Mean and variance, each ``(n_rows, n_latent)``.

    Examples
    --------
    >>> mean, variance = torch.tensor([[[2.0]], [[6.0]]]), torch.tensor([[[1.0]], [[0.5]]])
    >>> product_of_experts(mean, variance, torch.tensor([[True, True]]))
    (tensor([[3.5000]]), tensor([[0.2500]]))
    >>> product_of_experts(mean, variance, torch.tensor([[True, False]]))
    (tensor([[1.]]), tensor([[0.5000]]))
    """
    seen = present.T[..., None]
    precision = torch.where(seen, 1 / variance, 0.0)
    variance = 1 / (1 + precision.sum(dim=0))
    return variance * (precision * torch.where(seen, mean, 0.0)).sum(dim=0), variance
