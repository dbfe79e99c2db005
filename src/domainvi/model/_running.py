"""Run a training so that neither an interrupt nor a fault costs the model."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scvi import REGISTRY_KEYS
from scvi.train import TrainRunner

from domainvi.data import array_digest, matrix_digest
from domainvi.errors import InputError, ModelFileError, TrainingError
from domainvi.train import (
    BestWeights,
    CheckpointFiles,
    callbacks_in,
    has_checkpoint,
    interruptible,
    quiet,
    read_checkpoint,
    seeded,
    trainer_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from domainvi.data import PreparedAnnData, TransferDataModule
    from domainvi.train import DomainTrainingPlan

    from ._base import CohortModel

logger = logging.getLogger(__name__)


def run_training(
    model: CohortModel,
    plan: DomainTrainingPlan,
    data: TransferDataModule,
    best_weights: BestWeights,
    posthoc: Callable[[], None],
    *,
    max_epochs: int,
    warmup_epochs: int,
    early_stopping: bool,
    files: CheckpointFiles | None,
    accelerator: str,
    devices: int | list[int] | str,
    trainer_kwargs: dict[str, Any],
) -> None:
    """Train and fit post hoc; what ends a training early is raised when the model is in order.

    In the first ``warmup_epochs``, or in all of fewer, the weight of what encoder and heads fight
    over rises; early stopping waits for its end.
    """
    warmup_epochs = min(warmup_epochs, max_epochs)
    stopping = early_stopping and len(data.val_idx) > 0
    others = {**trainer_kwargs, "callbacks": [best_weights, *callbacks_in(trainer_kwargs)]}
    if files is not None:
        others["plugins"] = [files, *trainer_kwargs.get("plugins", ())]
    if files is not None and files.found is not None:
        logger.info("Going on from the checkpoint in %s.", best_weights.directory)
        others["ckpt_path"] = best_weights.directory
    with quiet():
        runner = TrainRunner(
            model,
            training_plan=plan,
            data_splitter=data,
            max_epochs=max_epochs,
            **trainer_arguments(accelerator, devices, stopping, warmup_epochs, others),
        )
    # The trainer knows how many processes there are, and so how many steps.
    data.sampler.share_among(runner.trainer.num_devices * runner.trainer.num_nodes)
    plan.n_steps = max_epochs * len(data.sampler)
    plan.n_warmup_steps = warmup_epochs * len(data.sampler)
    problem: TrainingError | ModelFileError | None = None
    plan.train()  # The module may come from predicting, of which lightning would warn.
    with seeded(model.seed), interruptible(best_weights), quiet():
        try:
            runner()
        except (TrainingError, ModelFileError) as error:
            problem = error
    kept = ""
    if best_weights.interrupted or problem is not None:
        kept = keep_best(model, runner, best_weights)
    best_weights.best = {}
    if model.is_trained_:
        posthoc()
    if problem is not None:
        msg = f"{problem} {kept}"
        raise type(problem)(msg) from problem
    if best_weights.interrupted:
        logger.warning("Training was interrupted. %s", kept)
        raise KeyboardInterrupt


def keep_best(model: CohortModel, runner: TrainRunner, best_weights: BestWeights) -> str:
    """Restore the best weights, and say which these are."""
    total = runner.trainer.max_epochs
    if best_weights.best_epoch == 0 and best_weights.interrupted and model.is_trained_:
        return f"The model has the weights that it had reached, in epoch 1 of {total}."
    model.module.load_state_dict(best_weights.best)
    model.module.eval()
    if best_weights.best_epoch == 0:
        return "No epoch was finished: the model is as it was before."
    data = runner.data_splitter
    model.train_indices, model.validation_indices = data.train_idx, data.val_idx
    model.is_trained_ = True
    return (
        f"The model has the weights of epoch {best_weights.best_epoch}, the best of "
        f"{best_weights.epoch} that were finished of {total}, and can be used."
    )


def checkpoint_files(
    model: CohortModel,
    prepared: PreparedAnnData,
    arguments: dict[str, Any],
    directory: str | os.PathLike[str],
    resume: bool,
) -> CheckpointFiles:
    """Prepare the writing of checkpoints, and read the one to go on from."""
    if not isinstance(directory, str | os.PathLike) or Path(directory).is_file():
        msg = f"checkpoint_dir={directory!r} is no folder; expected the name of one."
        raise InputError(msg)
    identity = {
        "arguments": repr(sorted(arguments.items())),
        "model parameters": repr(sorted(model._parameters().items())),
        "genes": array_digest(np.asarray(model.genes)),
        "values": matrix_digest(prepared.X),
    }
    for name in prepared.manager.data_registry:
        if name != REGISTRY_KEYS.X_KEY:
            identity[name] = array_digest(np.asarray(prepared.manager.get_from_registry(name)))
    if not has_checkpoint(directory):
        return CheckpointFiles(identity)
    if not resume:
        msg = (
            f"checkpoint_dir={str(directory)!r} holds a checkpoint already. Pass resume=True "
            "(--resume) to go on from it, remove it, or choose another folder."
        )
        raise InputError(msg)
    return CheckpointFiles(identity, read_checkpoint(directory, identity))
