"""Running a training so that neither an interrupt nor a fault costs the model."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from scvi import REGISTRY_KEYS
from scvi.train import TrainRunner

from domainvi.data import iter_row_chunks
from domainvi.errors import InputError, ModelFileError, TrainingError
from domainvi.train import (
    CheckpointFiles,
    Keeper,
    has_checkpoint,
    interruptible,
    read_checkpoint,
    seeded,
    trainer_arguments,
)

from ._rows import RowsMixin

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from domainvi.data import PreparedAnnData, TransferDataModule
    from domainvi.train import DomainTrainingPlan

logger = logging.getLogger(__name__)


class RunMixin(RowsMixin):
    """Run a training, with checkpoints where they are wanted."""

    def _run(
        self,
        plan: DomainTrainingPlan,
        data: TransferDataModule,
        keeper: Keeper,
        judge: Callable[[], None],
        *,
        max_epochs: int,
        early_stopping: bool,
        files: CheckpointFiles | None,
        accelerator: str,
        devices: int | list[int] | str,
        trainer_kwargs: dict[str, Any],
    ) -> None:
        """Train and judge; what ends a training early is raised when the model is in order."""
        stopping = early_stopping and len(data.val_idx) > 0
        others = with_keeper(trainer_kwargs, keeper, files)
        runner = TrainRunner(
            self,
            training_plan=plan,
            data_splitter=data,
            max_epochs=max_epochs,
            **trainer_arguments(accelerator, devices, stopping, others),
        )
        # The trainer knows how many processes there are, and so how many steps.
        data.sampler.share_among(runner.trainer.num_devices * runner.trainer.num_nodes)
        plan.n_steps = max_epochs * len(data.sampler)
        problem: TrainingError | ModelFileError | None = None
        with seeded(self.seed), interruptible(keeper):
            try:
                runner()
            except (TrainingError, ModelFileError) as error:
                problem = error
        kept = ""
        if keeper.interrupted or problem is not None:
            kept = self._keep_best(runner, keeper)
        keeper.best = {}
        if self.is_trained_:
            judge()
        if problem is not None:
            raise type(problem)(f"{problem} {kept}") from problem
        if keeper.interrupted:
            logger.warning("Training was interrupted. %s", kept)
            raise KeyboardInterrupt

    def _keep_best(self, runner: TrainRunner, keeper: Keeper) -> str:
        """Restore the best weights, and say which these are."""
        total = runner.trainer.max_epochs
        if keeper.best_epoch == 0 and keeper.interrupted and self.is_trained_:
            return f"The model has the weights that it had reached, in epoch 1 of {total}."
        self.module.load_state_dict(keeper.best)
        self.module.eval()
        if keeper.best_epoch == 0:
            return "No epoch was finished: the model is as it was before."
        data = runner.data_splitter
        self.train_indices, self.validation_indices = data.train_idx, data.val_idx
        self.is_trained_ = True
        return (
            f"The model has the weights of epoch {keeper.best_epoch}, the best of {keeper.epoch} "
            f"that were finished of {total}, and can be used."
        )

    def _checkpoint_files(
        self,
        work: PreparedAnnData,
        arguments: dict[str, Any],
        directory: str | os.PathLike[str] | None,
        resume: bool,
    ) -> CheckpointFiles | None:
        """Prepare the writing of checkpoints, and read the one to go on from."""
        if directory is None:
            return None
        identity = {
            "arguments": repr(sorted(arguments.items())),
            "model parameters": repr(sorted(self.init_params_["non_kwargs"].items())),
            "genes": digest(np.asarray(self.genes)),
            "values": sums(work.X),
        }
        for name in work.manager.data_registry:
            if name != REGISTRY_KEYS.X_KEY:
                identity[name] = digest(np.asarray(work.manager.get_from_registry(name)))
        if not has_checkpoint(directory):
            return CheckpointFiles(identity)
        if not resume:
            msg = (
                f"checkpoint_dir={str(directory)!r} holds a checkpoint already. Pass resume=True "
                "(--resume) to go on from it, remove it, or choose another folder."
            )
            raise InputError(msg)
        return CheckpointFiles(identity, read_checkpoint(directory, identity))


def with_keeper(
    trainer_kwargs: dict[str, Any], keeper: Keeper, files: CheckpointFiles | None
) -> dict[str, Any]:
    """Add the keeper, and the way checkpoints are written, to the arguments of the trainer."""
    arguments = {**trainer_kwargs, "callbacks": [keeper, *trainer_kwargs.get("callbacks", ())]}
    if files is None:
        return arguments
    arguments["plugins"] = [files, *trainer_kwargs.get("plugins", ())]
    if files.found is not None:
        logger.info("Going on from the checkpoint in %s.", keeper.directory)
        arguments["ckpt_path"] = keeper.directory
    return arguments


def check_checkpoint_arguments(directory: object, every: int, resume: bool) -> None:
    """Refuse an interval below one epoch, and going on from nowhere."""
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        msg = f"checkpoint_every={every!r} must be a whole number of epochs, at least 1."
        raise InputError(msg)
    if resume and directory is None:
        msg = "resume=True needs checkpoint_dir, the folder of the checkpoint to go on from."
        raise InputError(msg)


def sums(matrix: Any) -> str:
    """Fingerprint of the sums of rows and of genes, to six digits; also of a matrix in a file."""
    by_row, by_gene = [], np.zeros(matrix.shape[1])
    for _, rows in iter_row_chunks(matrix):
        by_row.append(np.asarray(rows.sum(axis=1, dtype=np.float64)).ravel())
        by_gene += np.asarray(rows.sum(axis=0, dtype=np.float64)).ravel()
    text = " ".join(f"{value:.6g}" for value in np.concatenate([*by_row, by_gene]))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(values: np.ndarray) -> str:
    """Short fingerprint of an array."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]
