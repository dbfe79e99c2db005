"""What modules on expression values share: input scale, draw of the latents, terms of the ELBO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scvi.module.base import BaseModuleClass
from torch.distributions import Distribution, Normal, kl_divergence

from domainvi._compat import MODULE_KEYS
from domainvi.nn import log_normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


class ExpressionModule(BaseModuleClass):
    """Library size and logarithm of rows, by buffers that are set from the training rows."""

    n_input: int
    counts: bool
    target_sum: torch.Tensor
    size_factor_scale: torch.Tensor

    def log_values(
        self, x: torch.Tensor, library: torch.Tensor, n_stored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Bring rows, or the stored values of sparse ones, to the scale of the input scaling."""
        return log_normalise(x, library, self.target_sum, n_stored) if self.counts else x

    def library_size(self, x: torch.Tensor, size_factor: torch.Tensor | None) -> torch.Tensor:
        """Library size of each row, ``(n_rows, 1)``: its sum, or its size factor in that unit."""
        if size_factor is None:
            return x.sum(dim=1, keepdim=True)
        return size_factor * self.size_factor_scale

    def draw(
        self, mean: torch.Tensor, variance: torch.Tensor, n_samples: int
    ) -> dict[str, Distribution | torch.Tensor]:
        """Posterior of the latents and draws from it, ``(n_samples, n_rows, n_latent)`` if many."""
        # What is not finite is reported by the training plan, with the term that broke.
        qz = Normal(mean, variance.sqrt(), validate_args=False)
        z = qz.rsample() if n_samples == 1 else qz.rsample((n_samples,))
        return {MODULE_KEYS.QZ_KEY: qz, MODULE_KEYS.Z_KEY: z}

    def elbo_terms(
        self, x: torch.Tensor, qz: Distribution, generative_outputs: Mapping[str, Distribution]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction loss, from the genes in ``x`` for all, and divergence of each row."""
        kl = kl_divergence(qz, generative_outputs[MODULE_KEYS.PZ_KEY]).sum(dim=-1)
        reconstruction = -generative_outputs[MODULE_KEYS.PX_KEY].log_prob(x).sum(dim=-1)
        return reconstruction * (self.n_input / x.shape[1]), kl
