"""Training plan of DisentangledVI, and the starting values of its module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from domainvi.linear import TrainingRows, domain_statistics, leading_genes
from domainvi.train import (
    DomainTrainingPlan,
    own_rate,
    parameter_groups,
    ramp,
    set_mean_profiles,
    set_projection,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from ._module import DisentangledVAE

# Where the loss of a factor is of the order of 1.
DEFAULT_WEIGHT = {"adversarial": 0.2, "covariance": 10.0, "hsic": 5.0, "none": 0.0}
# With momentum encoder and adversaries chase each other in circles, and more is left of foreign
# factors than without adversaries.
ADVERSARIAL_BETAS = (0.0, 0.999)
ADVERSARIAL_RATE = 3.0


class DisentangledTrainingPlan(DomainTrainingPlan):
    r"""Minimise the loss of :class:`~domainvi.disentangled.DisentangledVAE`.

    Optimiser, schedules, clipping and logging are those of
    :class:`~domainvi.train.DomainTrainingPlan`; what rises along the ramp is the weight of the
    independence term. Against adversaries AdamW has no momentum, and their own learning rate is
    three times that of the rest.

    Parameters
    ----------
    module
        What to train.
    n_steps
        Planned steps.
    lr, weight_decay, reconstruction_weight, genes_per_step
        Passed on to :class:`~domainvi.train.DomainTrainingPlan`.
    independence_weight
        Final weight of the independence term; by default 0.2 for the adversaries, which are sums
        over heads, 10 for covariance and 5 for HSIC, which lie between 0 and 1.
    """

    penalty_loss, penalty_name = "independence_loss", "penalty_weight"
    module: DisentangledVAE

    def __init__(
        self,
        module: DisentangledVAE,
        *,
        n_steps: int,
        lr: float = 3e-3,
        weight_decay: float = 1e-2,
        reconstruction_weight: float = 10.0,
        independence_weight: float | None = None,
        genes_per_step: int | None = 256,
    ) -> None:
        super().__init__(
            module,
            n_steps=n_steps,
            lr=lr,
            weight_decay=weight_decay,
            reconstruction_weight=reconstruction_weight,
            genes_per_step=genes_per_step,
        )
        default = DEFAULT_WEIGHT[module.independence.kind]
        self.penalty_weight = default if independence_weight is None else independence_weight

    def penalty(self) -> nn.Module:
        """Part of the module that is trained against the encoder."""
        return self.module.independence

    def loss_weights(self) -> dict[str, float]:
        """Weights of the terms at this step."""
        return {
            "reconstruction_weight": self.reconstruction_weight,
            "penalty_weight": self.penalty_weight * ramp(self.progress),
        }

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        """Gather the loss of held-out rows, without the independence term."""
        _, _, output = self.module(
            batch, loss_kwargs={"reconstruction_weight": self.reconstruction_weight}
        )
        self._gather(output, "validation")

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters with the settings that are their own."""
        groups = parameter_groups(self.module, self.weight_decay)
        if self.module.independence.kind != "adversarial" or not self.penalty_weight:
            return groups
        split = own_rate(groups, self.module.independence, self.lr * ADVERSARIAL_RATE)
        return [{**group, "betas": ADVERSARIAL_BETAS} for group in split]


def start_module(module: DisentangledVAE, x: NDArray[np.float32]) -> None:
    """Set scaling, projection and baseline of a module from log values of the training rows.

    All rows are standardised alike, so that a new row needs no metadata.
    """
    same = np.zeros(len(x), dtype=np.int64)
    rows = TrainingRows(x, same, same, np.ones(1, dtype=bool), 1)
    statistics = domain_statistics(rows)
    module.standardiser.is_shared.fill_(True)
    module.standardiser.set_statistics(
        *(torch.as_tensor(s, dtype=torch.float32) for s in statistics)
    )
    genes = leading_genes(rows)
    set_projection(module, rows.with_genes(genes), statistics, genes)
    if module.counts:
        set_mean_profiles(module, rows)
