"""Training of DisentangledVI: its plan, the split, starting values, and the run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from domainvi.data import TransferDataModule, check_split, stratified_split
from domainvi.linear import TrainingRows, domain_statistics, leading_genes, subsample
from domainvi.model import (
    check_training_arguments,
    checkpoint_files,
    run_training,
)
from domainvi.train import (
    BestWeights,
    DomainTrainingPlan,
    check_trainer_arguments,
    log_rows,
    own_rate,
    parameter_groups,
    ramp,
    set_library,
    set_mean_profiles,
    set_projection,
)

from ._encode import registered_values
from ._erasure import reset_erasure
from ._fit import fit_posthoc

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from ._model import DisentangledVI
    from ._module import DisentangledVAE

DEFAULT_EPOCHS = 40
# Where the loss of a factor is of the order of 1.
DEFAULT_WEIGHT = {"adversarial": 0.2, "covariance": 10.0, "hsic": 20.0, "none": 0.0}
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
        over heads, 10 for covariance and 20 for HSIC, which lie between 0 and 1.
    """

    penalty_loss, penalty_name = "independence_loss", "penalty_weight"
    penalty_part, plays = "independence", False  # encoder and adversaries descend in one step
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

    def loss_weights(self) -> dict[str, float]:
        """Weights of the terms at this step."""
        return {
            "reconstruction_weight": self.reconstruction_weight,
            "penalty_weight": self.penalty_weight * ramp(self.warmup_progress),
        }

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        """Gather the loss of held-out rows, without the independence term."""
        weights = {"reconstruction_weight": self.reconstruction_weight}
        _, _, output = self.module(batch, loss_kwargs=weights)
        self._gather(output, "validation")

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters with the settings that are their own."""
        groups = parameter_groups(self.module, self.weight_decay)
        if self.module.independence.kind != "adversarial" or not self.penalty_weight:
            return groups
        split = own_rate(groups, self.module.independence, self.lr * ADVERSARIAL_RATE)
        return [{**group, "betas": ADVERSARIAL_BETAS} for group in split]


def train(
    model: DisentangledVI,
    arguments: dict[str, Any],
    *,
    checkpoint_dir: str | os.PathLike[str] | None,
    checkpoint_every: int,
    resume: bool,
    accelerator: str,
    devices: int | list[int] | str,
    trainer_kwargs: dict[str, Any],
) -> None:
    """Check all arguments, then train the module and fit what depends on its weights.

    ``arguments`` are those of :meth:`DisentangledVI.train` that decide the result.
    """
    max_epochs, plan_kwargs = arguments["max_epochs"], arguments["plan_kwargs"]
    train_size, batch_size = arguments["train_size"], arguments["batch_size"]
    check_split(train_size, None, None)
    check_training_arguments(DisentangledTrainingPlan, max_epochs, batch_size, plan_kwargs)
    check_trainer_arguments(
        accelerator, devices, trainer_kwargs, checkpoint_dir, checkpoint_every, resume
    )
    prepared, module = model._validate_anndata(), model.module
    model._check_genes(prepared, "train")
    # Rows are split by the first factors of the second and the first group.
    values, groups, order = registered_values(prepared), model.groups, prepared.order
    first = {f.group: k for k, f in reversed(list(enumerate(module.factors)))}
    label, domain = (module.factors[first[g]].codes(values[order, first[g]]) for g in groups[:2])
    split = stratified_split(domain + 1, label, 1 - train_size, model.seed)
    train_idx, val_idx = order[split[0]], order[split[1]]
    files = None
    if checkpoint_dir is not None:
        files = checkpoint_files(model, prepared, arguments, checkpoint_dir, resume)
    model.fitted = replace(model.fitted, training=arguments)
    reset_erasure(module)
    if not model.fitted.is_scaled:
        drawn = order[subsample(domain + 1, label, model.seed)]
        set_library(module, prepared, drawn)
        start_module(module, log_rows(module, prepared, drawn))
        model.fitted = replace(model.fitted, is_scaled=True)
    data = TransferDataModule(
        prepared.manager, train_idx, val_idx, no_weights, batch_size, model.seed
    )
    plan = DisentangledTrainingPlan(module, n_steps=0, **plan_kwargs)

    def posthoc() -> None:
        erase = plan.penalty_weight > 0 and module.independence.kind != "none"
        model.fitted = fit_posthoc(module, model.fitted, prepared, train_idx, val_idx, erase)

    run_training(
        model,
        plan,
        data,
        BestWeights(data, checkpoint_dir, checkpoint_every),
        posthoc,
        max_epochs=max_epochs,
        warmup_epochs=DEFAULT_EPOCHS,
        early_stopping=arguments["early_stopping"],
        files=files,
        accelerator=accelerator,
        devices=devices,
        trainer_kwargs=trainer_kwargs,
    )


def no_weights(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of rows for batches without a labelled half."""
    return np.zeros(len(rows))


def start_module(module: DisentangledVAE, x: NDArray[np.float32]) -> None:
    """Set scaling, projection and baseline of a module from log values of the training rows.

    All rows are standardised alike, so that a new row needs no metadata.
    """
    same = np.zeros(len(x), dtype=np.int64)
    rows = TrainingRows(x, same, same, np.ones(1, dtype=bool), 1)
    statistics, genes = domain_statistics(rows), leading_genes(rows)
    module.standardiser.is_shared.fill_(True)
    module.standardiser.set_statistics(
        *(torch.as_tensor(s, dtype=torch.float32) for s in statistics)
    )
    set_projection(module, rows.with_genes(genes), statistics, genes)
    if module.input_scale.counts:
        set_mean_profiles(module, rows)
