"""The training plan: a step of the encoder after each game of the heads, weights on a schedule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from torch import nn

from domainvi.data import ROWS_KEY
from domainvi.nn import NO_DECAY

from ._faults import FaultFinder
from ._game import N_BATCHES, DomainGame, Referee

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
    from scvi.module.base import LossOutput

    from domainvi.module import DomainVAE


# Share of the steps of the warm-up at which the weight of the adversary begins to rise.
START = 0.2


def ramp(progress: float) -> float:
    r"""Weight factor that rises from 0 to 1.

    0 for a fifth of the steps, then :math:`2 / (1 + e^{-10 p}) - 1` with :math:`p` the share of the
    remaining steps that is done (Ganin et al., JMLR 2016). The classifier has to be better than
    chance before anything is aligned by its predictions, hence the start.

    Parameters
    ----------
    progress
        Share of the steps done over which the weight rises, in [0, 1].

    Examples
    --------
    >>> ramp(0.1), round(ramp(1.0), 3)
    (0.0, 1.0)
    """
    if progress <= START:
        return 0.0
    p = (progress - START) / (1 - START)
    return 2 / (1 + math.exp(-10 * p)) - 1


def cosine(progress: float) -> float:
    """Learning-rate factor that falls from 1 to 0 along half a cosine.

    Parameters
    ----------
    progress
        Share of the training steps done, in [0, 1].

    Examples
    --------
    >>> cosine(0.0), cosine(0.5)
    (1.0, 0.5)
    """
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


MAX_GRADIENT_NORM = 5.0


class DomainTrainingPlan(pl.LightningModule):
    r"""Minimise the loss of :class:`~domainvi.module.DomainVAE`.

    AdamW with a cosine learning rate. Before each step the domain heads take several of their own
    (:class:`~domainvi.train.DomainGame`), and the adversary's weight rises along
    :func:`~domainvi.train.ramp`. Gradient norms of the autoencoder and of the domain heads are
    clipped apart, so that heads whose reversal weight is 0 change nothing for the encoder. Means
    over an epoch are gathered on the device and logged once, as ``<name>_train`` and
    ``<name>_validation``; ``domain_accuracy_train`` stands beside ``domain_accuracy_chance``.
    ``domain_probe_train`` is what a fresh probe finds in the rows of the epoch's last batches
    (:func:`~domainvi.nn.within_class_probe`), beside ``domain_probe_chance``.

    Parameters
    ----------
    module
        What to train.
    n_steps
        Planned steps, the length of the schedules; ``n_warmup_steps``, over which the adversary's
        weight rises, is fewer where more epochs than by default are trained.
    lr, weight_decay
        Learning rate and weight decay of AdamW.
    reconstruction_weight
        Weight of the ELBO a gene.
    adversary_weight
        Final weight of the adversary.
    teaching_weight
        Weight of the linear members' probabilities as targets of unlabelled rows.
    genes_per_step
        Genes, drawn anew each step, from which the reconstruction is estimated; ``None`` for all.
    encoder_lr_factor
        Learning rate of the encoder over that of the rest; below 1 where it is pretrained.
    """

    # Names of the term that encoder and heads fight over, and of its weight; the part of the
    # module that is trained against the encoder, and whether it takes steps of its own.
    penalty_loss, penalty_name = "adversary_loss", "adversary_weight"
    penalty_part, plays = "alignment", True
    # Read by scvi-tools, which logs them to MLflow: AdamW's, and schedules that are not in use.
    eps, max_kl_weight, min_kl_weight = 1e-8, 1.0, 1.0
    lr_factor = lr_patience = n_epochs_kl_warmup = n_steps_kl_warmup = None

    def __init__(
        self,
        module: DomainVAE,
        *,
        n_steps: int,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        reconstruction_weight: float = 10.0,
        adversary_weight: float = 3.0,
        teaching_weight: float = 1.0,
        genes_per_step: int | None = 256,
        encoder_lr_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.module = module
        self.n_steps = self.n_warmup_steps = n_steps
        self.lr = lr
        self.weight_decay = weight_decay
        self.reconstruction_weight = reconstruction_weight
        self.adversary_weight = adversary_weight
        self.teaching_weight = teaching_weight
        self.genes_per_step = genes_per_step
        self.encoder_lr_factor = encoder_lr_factor
        self.game = DomainGame(module.alignment) if self.plays else None
        self.stored_game: dict[str, Any] | None = None
        self.referee = Referee(module)
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, torch.Tensor | float] = {}
        self.faults = FaultFinder(
            f"Use a smaller learning rate (lr={lr} now), or look for extreme values in these rows."
        )

    @property
    def warmup_progress(self) -> float:
        """Share of the steps over which the adversary's weight rises that is done."""
        return min(self.global_step / max(self.n_warmup_steps, 1), 1.0)

    def loss_weights(self) -> dict[str, float]:
        """Weights of the terms at this step."""
        return {
            "reconstruction_weight": self.reconstruction_weight,
            "adversary_weight": self.adversary_weight * ramp(self.warmup_progress),
            "teaching_weight": self.teaching_weight,
        }

    def on_train_start(self) -> None:
        """Switch dropout on: the module may come from predicting."""
        self.module.train()
        if self.game is not None and self.stored_game is not None:
            self.game.optimizer.load_state_dict(self.stored_game)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state of the game to a checkpoint."""
        if self.game is not None:
            checkpoint["game"] = self.game.optimizer.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the game until the weights are on their device."""
        if self.game is not None:
            self.stored_game = checkpoint["game"]

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Compute the loss of one batch."""
        genes = self._some_genes()
        inference, generative = self.module(
            batch, generative_kwargs={"genes": genes}, compute_loss=False
        )
        if self.game is not None:
            mean, domains = inference["qz"].loc.detach(), self.module.domains(batch)
            code = self.module.class_codes(mean, batch)
            self.game.play(self.module.alignment.heads_loss(mean, code, domains))
        output = self.module.loss(batch, inference, generative, genes=genes, **self.loss_weights())
        self._gather(output, "train")
        by_row = {**output.reconstruction_loss, **output.kl_local}
        means = {name: values.detach().mean() for name, values in by_row.items()}
        terms = {"train_loss": output.loss, **means, **(output.extra_metrics or {})}
        self.faults.add(self.global_step + 1, terms, by_row, batch.get(ROWS_KEY))
        return output.loss

    def on_train_batch_end(
        self, outputs: Any, batch: dict[str, torch.Tensor], batch_idx: int
    ) -> None:
        """Show the last batches of an epoch to the referee."""
        left = self.trainer.num_training_batches - batch_idx
        if self.game is not None and left <= N_BATCHES and self.module.n_domains[0] > 1:
            self.referee.see(batch)

    def _some_genes(self) -> torch.Tensor | None:
        """Draw the genes that this step reconstructs; ``None`` for all of them."""
        n = self.module.n_input
        if self.genes_per_step is None or n <= self.genes_per_step:
            return None
        return torch.randperm(n, device=self.device)[: self.genes_per_step]

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        """Gather the loss of held-out rows, without the terms that are being fought over."""
        inference, _, output = self.module(
            batch, loss_kwargs={"reconstruction_weight": self.reconstruction_weight}
        )
        self._gather(output, "validation")
        label = self.module.labels(batch)
        hit = self.module.classifier(inference["qz"].loc).argmax(dim=1) == label
        n_known = (label >= 0).sum()
        self._add("accuracy_validation", hit.sum() / n_known.clamp_min(1), n_known > 0)

    def _gather(self, output: LossOutput, stage: str) -> None:
        n = output.n_obs_minibatch
        reconstruction, kl = output.reconstruction_loss_sum / n, output.kl_local_sum / n
        terms = {
            "reconstruction_loss": reconstruction,
            "kl_local": kl,
            "elbo": reconstruction + kl,
            **(output.extra_metrics or {}),
        }
        for name, value in terms.items():
            self._add(f"{name}_{stage}", value)
        # The loss of held-out rows is that of autoencoder and classifier, without the adversary.
        game = 0.0 if stage == "train" else terms.get(self.penalty_loss, 0.0)
        self._add(f"{stage}_loss", output.loss - game)

    def _add(self, name: str, value: torch.Tensor, count: torch.Tensor | float = 1.0) -> None:
        value = value.detach() * count
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts[name] = self.counts.get(name, 0.0) + count

    def _log_epoch(self, names: list[str]) -> None:
        for name in names:
            total, count = self.sums.pop(name), self.counts.pop(name)
            if not count:
                continue
            shown = name == "train_loss"
            # Processes that train together stop together: they see the mean over all of them.
            self.log(
                name, total / count, prog_bar=shown, on_step=False, on_epoch=True, sync_dist=True
            )

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means, and the adversary's weight at its end."""
        self.faults.check()
        found = self.referee.verdict()
        if found is not None:
            for name, value in zip(("train", "chance"), found, strict=True):
                self._add(f"domain_probe_{name}", torch.tensor(value, device=self.device))
        weight = self.loss_weights()[self.penalty_name]
        self.log(self.penalty_name, weight, on_step=False, on_epoch=True)
        if "domain_accuracy_train" in self.sums:
            self.log("domain_accuracy_chance", self.module.alignment.chance, on_epoch=True)
        self._log_epoch([n for n in self.sums if "validation" not in n])

    def on_validation_epoch_end(self) -> None:
        """Log the means over the held-out rows."""
        self._log_epoch([n for n in self.sums if "validation" in n])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over what the game leaves, with weight decay on matrices only."""
        optimizer = torch.optim.AdamW(self._groups(), lr=self.lr, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: cosine(step / max(self.n_steps, 1))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters with the settings that are their own."""
        groups = parameter_groups(self.module, self.weight_decay)
        heads = {id(p) for p in self.module.alignment.parameters()}
        groups = [{**g, "params": [p for p in g["params"] if id(p) not in heads]} for g in groups]
        if self.encoder_lr_factor == 1.0:
            return groups
        parts = self.module.modalities.parts.values()
        encoders = nn.ModuleList(part.z_encoder for part in parts)
        return own_rate(groups, encoders, self.lr * self.encoder_lr_factor)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient norms of the autoencoder and of the domain heads apart."""
        heads = {id(p) for p in getattr(self.module, self.penalty_part).parameters()}
        parameters = [p for p in self.module.parameters() if p.grad is not None]
        for inside in (True, False):
            group = [p for p in parameters if (id(p) in heads) == inside]
            if group:
                norm = nn.utils.clip_grad_norm_(group, MAX_GRADIENT_NORM)
                self.faults.add(self.global_step + 1, {"gradient": norm}, {}, None)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters so that only matrices decay, unless they are marked ``no_decay``."""
    trained = [p for p in module.parameters() if p.requires_grad]
    decays = [p.dim() > 1 and not getattr(p, NO_DECAY, False) for p in trained]
    return [
        {
            "params": [p for p, d in zip(trained, decays, strict=True) if d],
            "weight_decay": weight_decay,
        },
        {"params": [p for p, d in zip(trained, decays, strict=True) if not d], "weight_decay": 0.0},
    ]


def own_rate(groups: list[dict[str, Any]], part: nn.Module, lr: float) -> list[dict[str, Any]]:
    """Give the parameters of a part groups of their own, with another learning rate."""
    inside = {id(p) for p in part.parameters()}
    rest = [{**g, "params": [p for p in g["params"] if id(p) not in inside]} for g in groups]
    own = [{**g, "params": [p for p in g["params"] if id(p) in inside], "lr": lr} for g in groups]
    return [*rest, *own]
