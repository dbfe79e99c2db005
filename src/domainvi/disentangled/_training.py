"""Training of DisentangledVI: split, starting values, run, and what is fitted afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from domainvi.data import TransferDataModule, stratified_split
from domainvi.linear import subsample
from domainvi.model import (
    check_checkpoint_arguments,
    check_training_arguments,
    checkpoint_files,
    fit_calibration,
    run_training,
)
from domainvi.train import BestWeights, log_rows, set_library

from ._encode import encode, registered_values
from ._erasure import fit_erasure, reset_erasure
from ._plan import DisentangledTrainingPlan, start_module

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._encode import Encoded
    from ._fit import DisentangledFit, TrainingArguments
    from ._model import DisentangledVI
    from ._module import DisentangledVAE


def train(
    model: DisentangledVI,
    arguments: TrainingArguments,
    *,
    checkpoint_dir: str | os.PathLike[str] | None,
    checkpoint_every: int,
    resume: bool,
    accelerator: str,
    devices: int | list[int] | str,
    trainer_kwargs: dict[str, Any],
) -> None:
    """Check all arguments, then train the module and fit what depends on its weights."""
    check_training_arguments(
        DisentangledTrainingPlan,
        arguments.max_epochs,
        arguments.train_size,
        arguments.batch_size,
        arguments.plan_kwargs,
    )
    check_checkpoint_arguments(checkpoint_dir, checkpoint_every, resume)
    prepared, module = model._validate_anndata(), model.module
    model._check_genes(prepared, "train")
    order = prepared.order
    domain, label = (codes[order] for codes in strata(module, prepared))
    split = stratified_split(domain, label, 1 - arguments.train_size, model.seed)
    train_idx, val_idx = order[split[0]], order[split[1]]
    files = checkpoint_files(model, prepared, vars(arguments), checkpoint_dir, resume)
    model.fitted = replace(model.fitted, training=arguments)
    reset_erasure(module)
    if not model.fitted.is_scaled:
        drawn = order[subsample(domain, label, model.seed)]
        set_library(module, prepared, drawn)
        start_module(module, log_rows(module, prepared, drawn))
        model.fitted = replace(model.fitted, is_scaled=True)
    data = TransferDataModule(
        prepared.manager, train_idx, val_idx, no_weights, arguments.batch_size, model.seed
    )
    plan = DisentangledTrainingPlan(module, n_steps=0, **arguments.plan_kwargs)

    def posthoc() -> None:
        erase = plan.penalty_weight > 0 and module.independence.kind != "none"
        model.fitted = fit_posthoc(module, model.fitted, prepared, train_idx, val_idx, erase)

    run_training(
        model,
        plan,
        data,
        BestWeights(data, checkpoint_dir, checkpoint_every),
        posthoc,
        max_epochs=arguments.max_epochs,
        early_stopping=arguments.early_stopping,
        files=files,
        accelerator=accelerator,
        devices=devices,
        trainer_kwargs=trainer_kwargs,
    )


def strata(
    module: DisentangledVAE, prepared: PreparedAnnData
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Levels by which rows are split: of the first factor of the second and first group."""
    values, groups = registered_values(prepared), [f.group for f in module.factors]
    first = [groups.index(group) for group in module.groups[:2]]
    label, domain = (module.factors[k].codes(values[:, k]) for k in first)
    return domain + 1, label


def no_weights(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of rows for batches without a labelled half."""
    return np.zeros(len(rows))


def fit_posthoc(
    module: DisentangledVAE,
    fitted: DisentangledFit,
    prepared: PreparedAnnData,
    train_idx: NDArray[np.int64],
    val_idx: NDArray[np.int64],
    erase: bool,
) -> DisentangledFit:
    """Fit what depends on the weights that training has found."""
    if erase:
        fit_erasure(module, prepared)
    values, encoded = registered_values(prepared), encode(module, prepared)
    fit_priors(module, values, encoded)
    errors, calibrations = {}, {}
    is_held_out = np.isin(np.arange(len(values)), val_idx)
    for k, factor in enumerate(module.factors):
        score, value = encoded.scores[k], values[:, k]
        if factor.is_numeric:
            error = standard_error(score[:, 0] - value, train_idx, val_idx)
            errors[factor.name] = error * factor.scale
        else:
            calibrations[factor.name] = fit_calibration(score, factor.codes(value), is_held_out)
    return replace(fitted, errors=errors, calibrations=calibrations)


@torch.inference_mode()
def fit_priors(module: DisentangledVAE, values: NDArray[np.float32], encoded: Encoded) -> None:
    """Set each prior mean to the least-squares fit of the posterior means on the metadata.

    This is what maximises the ELBO given encoder and heads.
    """
    scores = [torch.from_numpy(s) for s in encoded.scores]
    metadata = module.metadata(torch.from_numpy(values), scores)
    blocks = module.split(torch.from_numpy(encoded.mean))
    for name in module.groups:
        fit = torch.linalg.lstsq(metadata[name], blocks[name], driver="gelsd").solution
        module.get_parameter(f"priors.{name}.weight").copy_(fit.T)
    means = torch.cat([metadata[name].mean(dim=0) for name in module.groups])
    module.factor_mean.copy_(means)


def standard_error(
    error: NDArray[np.float32], train_idx: NDArray[np.int64], val_idx: NDArray[np.int64]
) -> float:
    """Root mean square over the rows held out; over those of training where none has a value."""
    held_out = error[val_idx][np.isfinite(error[val_idx])]
    used = held_out if held_out.size else error[train_idx]
    return float(np.sqrt(np.nanmean(used**2)))
