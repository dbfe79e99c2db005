"""Library size and logarithm of rows, by buffers that are set from the training rows."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributions import Distribution, Normal, kl_divergence

from domainvi._compat import MODULE_KEYS
from domainvi.nn import log_normalise


class InputScale(nn.Module):
    """Brings counts to log-normalised values; values on a log scale stay as they are.

    Parameters
    ----------
    counts
        Whether values are counts.
    """

    target_sum: torch.Tensor
    size_factor_scale: torch.Tensor

    def __init__(self, *, counts: bool) -> None:
        super().__init__()
        self.counts = counts
        # Library size that counts are brought to: the median of the training rows.
        self.register_buffer("target_sum", torch.tensor(1e4))
        self.register_buffer("size_factor_scale", torch.ones(()))

    def forward(
        self, x: torch.Tensor, size_factor: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log values of rows and their library sizes."""
        library = self.library_size(x, size_factor)
        return self.log_values(x, library), library

    def library_size(self, x: torch.Tensor, size_factor: torch.Tensor | None) -> torch.Tensor:
        """Library size of each row, ``(n_rows, 1)``: its sum, or its size factor in that unit."""
        if size_factor is None:
            return x.sum(dim=1, keepdim=True)
        return size_factor * self.size_factor_scale

    def log_values(
        self, x: torch.Tensor, library: torch.Tensor, n_stored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Bring rows, or the stored values of sparse ones, to the scale of the input scaling."""
        return log_normalise(x, library, self.target_sum, n_stored) if self.counts else x


def draw_latents(
    mean: torch.Tensor, variance: torch.Tensor, n_samples: int
) -> dict[str, Distribution | torch.Tensor]:
    """Posterior of the latents and draws from it, ``(n_samples, n_rows, n_latent)`` if many."""
    # What is not finite is reported by the training plan, with the term that broke.
    qz = Normal(mean, variance.sqrt(), validate_args=False)
    z = qz.rsample() if n_samples == 1 else qz.rsample((n_samples,))
    return {MODULE_KEYS.QZ_KEY: qz, MODULE_KEYS.Z_KEY: z}


def elbo_terms(
    x: torch.Tensor, qz: Distribution, pz: Distribution, px: Distribution, n_input: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstruction loss, of ``n_input`` genes by those in ``x``, and divergence of each row."""
    kl = kl_divergence(qz, pz).sum(dim=-1)
    reconstruction = -px.log_prob(x).sum(dim=-1)
    return reconstruction * (n_input / x.shape[1]), kl
