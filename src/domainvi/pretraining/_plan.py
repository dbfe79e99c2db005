r"""The pretraining plan: corrupted views of a batch, one loss, one optimiser.

A mask :math:`m \in \{0, 1\}^{n \times G}` says which values are replaced. The replacement of gene
:math:`g` in row :math:`i` is drawn from the empirical marginal of the gene: its value in another
row, drawn anew for every gene, row and step (Bahri et al., SCARF, ICLR 2022; Yoon et al., VIME,
NeurIPS 2020). So genes are replaced independently of each other, and each keeps its distribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning.pytorch as pl
import torch
from scvi import REGISTRY_KEYS
from torch import nn

from domainvi.errors import TrainingError
from domainvi.train import MAX_GRADIENT_NORM, cosine, parameter_groups

from ._objectives import OBJECTIVES, Views, alignment, effective_rank, uniformity

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

    from domainvi.module import DomainVAE

    from ._settings import PretrainingSettings

PREFIX = "pretraining_"


def draw_mask(x: torch.Tensor, rate: float, *, exact: bool = False) -> torch.Tensor:
    """Draw which values are replaced: each with this rate, or the same number of every row."""
    noise = torch.rand(x.shape, device=x.device)
    if not exact:
        return noise < rate
    chosen = noise.topk(int(rate * x.shape[1]), dim=1).indices
    return torch.zeros_like(x, dtype=torch.bool).scatter_(1, chosen, value=True)


def draw_donors(
    mask: torch.Tensor, group: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw a row for every masked value; return row, gene and donor of each.

    Donors are of the same group where group codes ``(n_rows,)`` are given; a row without others in
    its group is its own donor.
    """
    row, gene = mask.nonzero(as_tuple=True)
    share = torch.rand(len(row), device=mask.device)
    group = row.new_zeros(len(mask)) if group is None else group
    order = group.argsort(stable=True)
    size = torch.bincount(group)
    start = size.cumsum(0) - size
    own = group[row]
    return row, gene, order[start[own] + (share * size[own]).long()]


def swap_values(
    x: torch.Tensor, mask: torch.Tensor, group: torch.Tensor | None = None
) -> torch.Tensor:
    """Replace masked values, on a scale that rows share, by those of the genes in other rows."""
    row, gene, donor = draw_donors(mask, group)
    out = x.clone()
    out[row, gene] = x[donor, gene]
    return out


def swap_counts(
    x: torch.Tensor, library: torch.Tensor, mask: torch.Tensor, group: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Replace masked counts by those of other rows, at the depth of the row they enter.

    The count :math:`x_{jg}` of the donor :math:`j` becomes :math:`x_{jg} \ell_i / \ell_j`, rounded
    up or down at random so that its expectation stays and it is a whole number. The library size
    follows: :math:`\tilde\ell_i = \ell_i \sum_g \tilde x_{ig} / \sum_g x_{ig}`. What is normalised
    afterwards is so a row that could have been sequenced, and unmasked genes fall when masked
    ones rise, as they do in real libraries.
    """
    row, gene, donor = draw_donors(mask, group)
    size = library.squeeze(-1).clamp_min(1e-8)
    moved = x[donor, gene] * (size[row] / size[donor])
    out = x.clone()
    out[row, gene] = torch.floor(moved + torch.rand_like(moved))
    ratio = out.sum(dim=1, keepdim=True) / x.sum(dim=1, keepdim=True).clamp_min(1e-8)
    return out, library * ratio


def uniform_values(
    x: torch.Tensor, mask: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> torch.Tensor:
    """Replace masked values by uniform draws between a gene's least and largest value.

    That is what the published code of arXiv 2507.13912 does in place of the empirical marginal.
    """
    return torch.where(mask, low + (high - low) * torch.rand_like(x), x)


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
        self.modality = module.modalities.only
        self.objective = OBJECTIVES[method](
            self.modality.z_encoder, module.n_input, module.n_latent, settings
        )
        beyond = torch.full((module.n_input,), torch.inf)
        buffers = {"centre": statistics[0], "scale": statistics[1], "low": beyond, "high": -beyond}
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)
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
        if not self.settings.both_views:
            return Views(clean, second, clean, mask)
        first, _ = self.corrupt(x, library, domain, clean)
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
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm of the gradient."""
        nn.utils.clip_grad_norm_(self.objective.parameters(), MAX_GRADIENT_NORM)
