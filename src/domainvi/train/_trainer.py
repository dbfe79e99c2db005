"""Arguments of the trainer, checked before anything is computed."""

from __future__ import annotations

import warnings
from typing import Any

from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from scvi.train import SaveCheckpoint, Trainer

from domainvi._checks import check_keywords, check_sizes
from domainvi.errors import InputError

from ._processes import quiet, trainer_arguments

# Arguments of scvi-tools and of its older versions, and what takes their place here.
EXPLAINED = {
    "validation_size": "use train_size; the rest is for validation",
    "datasplitter_kwargs": "leave it out: rows are split alike in every cohort",
    "use_gpu": 'use accelerator="gpu" or "cpu"',
    "lr": 'use plan_kwargs={"lr": ...}',
    "weight_decay": 'use plan_kwargs={"weight_decay": ...}',
    "n_epochs": "use max_epochs",
    "epochs": "use max_epochs",
    "shuffle_set_split": "leave it out: the split is drawn by the model's seed",
    "load_sparse_tensor": "leave it out: sparse rows are read as they are",
    "external_indexing": 'use datasplitter_kwargs={"external_indexing": [...]}',
    "datamodule": "set up a backed file, a zarr store or a dask array, read as they are needed",
    "plan_config": "use plan_kwargs",
    "trainer_config": "pass arguments of the trainer by name",
    "n_samples_per_label": "leave it out: classes are balanced in each batch",
    "adversarial_classifier": 'use DomainVI(..., adversary="none") or another',
}
_REFUSED = (
    TypeError, ValueError, RuntimeError, ImportError, AttributeError, MisconfigurationException,
)  # fmt: skip


def callbacks_in(trainer_kwargs: dict[str, Any]) -> list[Callback]:
    """Return the callbacks that are passed: a list of them, one, or none."""
    given = trainer_kwargs.get("callbacks") or []
    callbacks = list(given) if isinstance(given, list | tuple) else [given]
    if wrong := [c for c in callbacks if not isinstance(c, Callback)]:
        msg = f"callbacks has {wrong[0]!r:.80}, which is no callback of lightning. Leave it out."
        raise InputError(msg)
    return callbacks


def check_trainer_arguments(
    accelerator: str,
    devices: int | list[int] | str,
    trainer_kwargs: dict[str, Any],
    checkpoint_dir: object,
    checkpoint_every: int,
    resume: bool,
) -> None:
    """Refuse what the trainer or its checkpoints would refuse later on.

    Raises
    ------
    InputError
        If an argument is not known, or has a value of which no trainer can be made.
    """
    check_keywords("train", trainer_kwargs, Trainer, EXPLAINED)
    check_sizes(checkpoint_every=checkpoint_every)
    if resume and checkpoint_dir is None:
        msg = "resume=True needs checkpoint_dir, the folder of the checkpoint to go on from."
        raise InputError(msg)
    callbacks = callbacks_in(trainer_kwargs)
    if savers := [c for c in callbacks if isinstance(c, ModelCheckpoint)]:
        check_savers(savers)
    if checkpoint_dir is not None and (savers or trainer_kwargs.get("enable_checkpointing")):
        msg = (
            f"checkpoint_dir={str(checkpoint_dir)!r} and checkpoint callbacks of lightning both "
            "write checkpoints. Leave one of them out."
        )
        raise InputError(msg)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What is said of it is said by the trainer in use.
            others = trainer_kwargs | {"callbacks": callbacks}
            others.pop("ckpt_path", None)
            arguments = trainer_arguments(accelerator, devices, False, 0, others)
            # Strategies of several processes may start them.
            if "use_distributed_sampler" not in arguments:
                Trainer(max_epochs=1, **arguments)
    except _REFUSED as error:
        reason = " ".join(str(error).split())
        msg = f"No trainer can be made of these arguments: {reason:.400} Change or leave them out."
        raise InputError(msg) from error


def check_savers(savers: list[ModelCheckpoint]) -> None:
    """Refuse callbacks that read scvi-tools' own files."""
    for saver in savers:
        for name in ("load_best_on_end", "check_nan_gradients"):
            if isinstance(saver, SaveCheckpoint) and getattr(saver, name):
                msg = (
                    f"SaveCheckpoint({name}=True) reads the pickles of scvi-tools, which DomainVI "
                    "neither writes nor opens. Leave it out: load(callback.best_model_path) has "
                    "the best model, and after a fault the model has its best weights anyhow."
                )
                raise InputError(msg)
