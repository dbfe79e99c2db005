"""The pretraining plan: two views of a batch, one loss, one optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning.pytorch as pl
import torch
from scvi import REGISTRY_KEYS
from torch import nn

from domainvi.errors import TrainingError
from domainvi.train import MAX_GRADIENT_NORM, cosine, parameter_groups

from ._corruption import draw_mask, swap_counts, swap_values, uniform_values
from ._losses import alignment, effective_rank, uniformity
from ._objectives import OBJECTIVES, Views

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

    from domainvi.module import DomainVAE

    from ._settings import PretrainingSettings

PREFIX = "pretraining_"
# Compared vectors are as good as one above the first, and embeddings a line below the second.
COLLAPSED_UNIFORMITY = -0.05
COLLAPSED_RANK = 2.0


def is_collapsed(rank: float, uniformity: float) -> bool:
    """Whether embeddings tell rows apart no more.

    ``rank`` is the effective rank of the latent means, ``uniformity`` that of the vectors that the
    loss compares.

    Examples
    --------
    >>> is_collapsed(rank=9.5, uniformity=-2.8), is_collapsed(rank=9.5, uniformity=-0.001)
    (False, True)
    """
    return rank < COLLAPSED_RANK or uniformity > COLLAPSED_UNIFORMITY


class PretrainingPlan(pl.LightningModule):
    """Minimise a self-supervised loss over a module's encoder.

    The heads and, for BYOL, the averaged network belong to this plan and end with it. Every epoch
    logs ``pretraining_loss`` and, on rows of the first batch in evaluation mode,
    ``pretraining_effective_rank`` of the latent means and ``pretraining_alignment`` and
    ``pretraining_uniformity`` of the vectors that the loss compares.

    Parameters
    ----------
    module
        Module whose encoder is trained and whose input scaling is used.
    method, settings
        Name and settings of the method.
    statistics
        Centre and scale by domain code of the batches, each ``(n_domains, n_genes)``.
    n_steps
        Planned steps, the length of the schedule.
    """

    low: torch.Tensor
    high: torch.Tensor
    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        module: DomainVAE,
        method: str,
        settings: PretrainingSettings,
        statistics: tuple[torch.Tensor, torch.Tensor],
        n_steps: int,
    ) -> None:
        super().__init__()
        self.module = module
        self.settings = settings
        self.n_steps = n_steps
        objective = OBJECTIVES[method]
        self.modality = module.modalities.only
        encoder = self.modality.z_encoder
        self.objective = objective(encoder, module.n_input, module.n_latent, settings)
        self.register_buffer("centre", statistics[0])
        self.register_buffer("scale", statistics[1])
        self.register_buffer("low", torch.full((module.n_input,), torch.inf))
        self.register_buffer("high", torch.full((module.n_input,), -torch.inf))
        self.losses: list[torch.Tensor] = []
        self.monitored: dict[str, torch.Tensor] = {}
        # Numbers of the last epoch.
        self.latest: dict[str, float] = {}

    def standardise(
        self, x: torch.Tensor, library: torch.Tensor, domain: torch.Tensor
    ) -> torch.Tensor:
        """Bring rows to the scale that the encoder takes."""
        u = self.modality.input_scale.log_values(x, library)
        return self.modality.standardiser(u, domain, (self.centre, self.scale))

    def views(self, batch: dict[str, torch.Tensor]) -> Views:
        """Draw the views of a batch; a new corruption each time."""
        x, domain = batch[REGISTRY_KEYS.X_KEY], batch[REGISTRY_KEYS.BATCH_KEY].squeeze(-1).long()
        factor = batch.get(REGISTRY_KEYS.SIZE_FACTOR_KEY)
        library = self.modality.input_scale.library_size(x, factor)
        clean = self.standardise(x, library, domain)
        second, mask = self.corrupt(x, library, domain, clean)
        both = self.settings.both_views
        first = self.corrupt(x, library, domain, clean)[0] if both else clean
        return Views(first, second, clean, mask)

    def corrupt(
        self, x: torch.Tensor, library: torch.Tensor, domain: torch.Tensor, clean: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Replace values of rows; return them standardised, and which values are others now."""
        settings = self.settings
        mask = draw_mask(x, settings.corruption_rate, exact=settings.exact)
        if settings.marginal == "uniform":
            self.low.copy_(torch.minimum(self.low, clean.amin(dim=0)))
            self.high.copy_(torch.maximum(self.high, clean.amax(dim=0)))
            return uniform_values(clean, mask, self.low, self.high), mask
        group = domain if settings.within_domain else None
        if self.modality.input_scale.counts:
            counts, size = swap_counts(x, library, mask, group)
            return self.standardise(counts, size, domain), counts != x
        corrupted = swap_values(clean, mask, group)
        return corrupted, corrupted != clean

    def on_train_start(self) -> None:
        """Switch dropout on."""
        self.train()

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Compute the loss of one batch."""
        if not self.monitored:
            self.monitored = batch
        loss = self.objective(self.views(batch))
        if not torch.isfinite(loss):
            msg = (
                f"The pretraining loss became {loss.item()} in epoch {self.current_epoch + 1}. Use "
                f"a smaller learning rate (lr={self.settings.lr} now), or look for rows with "
                "extreme values."
            )
            raise TrainingError(msg)
        self.losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, *args: object) -> None:
        """Let the averaged network follow, where there is one."""
        self.objective.after_step()

    def on_train_epoch_end(self) -> None:
        """Log the loss and how the embedding looks."""
        numbers = {"loss": torch.stack(self.losses).mean(), **self.geometry(self.monitored)}
        self.losses.clear()
        self.latest = {name: value.item() for name, value in numbers.items()}
        for name, value in numbers.items():
            self.log(PREFIX + name, value, prog_bar=name == "loss", on_step=False, on_epoch=True)

    @torch.no_grad()
    def geometry(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Effective rank, alignment and uniformity of some rows."""
        views = self.views(batch)
        self.objective.eval()
        first, second = self.objective.project(views.first), self.objective.project(views.second)
        rank = effective_rank(self.objective.embed(views.clean))
        self.objective.train()
        return {
            "effective_rank": rank,
            "alignment": alignment(first, second),
            "uniformity": uniformity(first),
        }

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over encoder and heads, with weight decay on matrices only."""
        groups = parameter_groups(self.objective, self.settings.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=self.settings.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: cosine(step / max(self.n_steps, 1))
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm of the gradient."""
        nn.utils.clip_grad_norm_(self.objective.parameters(), MAX_GRADIENT_NORM)
