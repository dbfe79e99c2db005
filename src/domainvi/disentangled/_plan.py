"""Training of a disentangled module: starting values and plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ._initialise import leading_genes, set_baseline, set_projection
from ._plan import DomainTrainingPlan, own_rate
from ._tables import TrainingRows, domain_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.module import DisentangledVAE

# Where the loss of a factor is of the order of 1.
DEFAULT_WEIGHT = {"adversarial": 0.2, "covariance": 10.0, "hsic": 5.0, "none": 0.0}
# With momentum encoder and adversaries chase each other in circles, and more is left of foreign
# factors than without adversaries.
ADVERSARIAL_BETAS = (0.0, 0.999)
ADVERSARIAL_RATE = 3.0


class DisentangledTrainingPlan(DomainTrainingPlan):
    r"""Minimise the loss of :class:`~domainvi.module.DisentangledVAE`.

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
        As there.
    independence_weight
        Final weight of the independence term; by default 0.2 for the adversaries, which are sums
        over heads, 10 for covariance and 5 for HSIC, which lie between 0 and 1.
    """

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
            adversary_weight=DEFAULT_WEIGHT[module.alignment.kind]
            if independence_weight is None
            else independence_weight,
            teaching_weight=0.0,
            genes_per_step=genes_per_step,
        )

    def _groups(self) -> list[dict[str, Any]]:
        groups, alignment = super()._groups(), self.module.alignment
        if alignment.kind != "adversarial" or not self.adversary_weight:
            return groups
        split = own_rate(groups, alignment, self.lr * ADVERSARIAL_RATE)
        return [{**group, "betas": ADVERSARIAL_BETAS} for group in split]

    def loss_weights(self) -> dict[str, float]:
        """Weights of the terms at this step."""
        weights = super().loss_weights()
        weights.pop("teaching_weight")
        return weights

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        """Gather the loss of held-out rows, without the independence term."""
        _, _, output = self.module(
            batch, loss_kwargs={"reconstruction_weight": self.reconstruction_weight}
        )
        self._gather(output, "validation")


def start_disentangled(module: DisentangledVAE, x: NDArray[np.float32]) -> None:
    """Set scaling, projection and baseline of a module from log values of the training rows.

    All rows are standardised alike, so that a new row needs no metadata.
    """
    same = np.zeros(len(x), dtype=np.int64)
    rows = TrainingRows(x, same, same, np.ones(1, dtype=bool), 1)
    table = domain_table(rows)
    module.standardiser.is_shared.fill_(True)
    module.standardiser.set_tables(*(torch.as_tensor(t, dtype=torch.float32) for t in table))
    genes = leading_genes(rows)
    set_projection(module, rows.with_genes(genes), table, genes)
    if module.counts:
        set_baseline(module, rows)
