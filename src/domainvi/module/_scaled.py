"""What modules on expression values share: the log scale on which rows are standardised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scvi.module.base import BaseModuleClass

from domainvi.nn import log_normalise

if TYPE_CHECKING:
    import torch


class ExpressionModule(BaseModuleClass):
    """Library size and logarithm of rows, by buffers that are set from the training rows."""

    counts: bool
    target_sum: torch.Tensor
    size_factor_scale: torch.Tensor

    def log_values(self, x: torch.Tensor, library: torch.Tensor) -> torch.Tensor:
        """Bring rows to the log scale on which the input scaling works."""
        return log_normalise(x, library, self.target_sum) if self.counts else x

    def library_size(self, x: torch.Tensor, size_factor: torch.Tensor | None) -> torch.Tensor:
        """Library size of each row, ``(n_rows, 1)``: its sum, or its size factor in that unit."""
        if size_factor is None:
            return x.sum(dim=1, keepdim=True)
        return size_factor * self.size_factor_scale
