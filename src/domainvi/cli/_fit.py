"""Train as the commands do it: on a named device, with progress and checkpoints."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

from domainvi.errors import InputError

from ._files import located

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from lightning.pytorch import Callback, LightningModule, Trainer

    from domainvi import DomainVI

    from ._options import Training

_FORMS = "auto, cpu, cuda, cuda:<number> or mps"
# Lines about epochs, in all, where they cannot be written over each other.
_LINES = 20
_ERASE = "\r\x1b[2K"


def check_device(device: str) -> None:
    """Refuse a name that is of no device, without asking the machine."""
    kind, _, number = device.partition(":")
    wrong_number = number and (kind != "cuda" or not number.isdecimal())
    if kind not in {"auto", "cpu", "cuda", "mps"} or wrong_number:
        msg = f"--device {device!r} is not known; expected {_FORMS}."
        raise InputError(msg)


def accelerator(device: str) -> dict[str, Any]:
    """Translate ``--device`` into arguments of ``train``; refuse what this machine does not have.

    Raises
    ------
    InputError
        If the name is not known, or this machine has no such device.
    """
    check_device(device)
    import torch

    kind, _, number = device.partition(":")
    if kind == "cuda":
        n_gpus = torch.cuda.device_count()
        if int(number or 0) >= n_gpus:
            msg = f"--device {device}: this machine has {n_gpus} usable CUDA GPUs."
            raise InputError(msg)
        return {"accelerator": "gpu", "devices": [int(number or 0)]}
    if kind == "mps" and not torch.backends.mps.is_available():
        msg = "--device mps: this machine has no usable Apple GPU."
        raise InputError(msg)
    return {"accelerator": kind, "devices": "auto" if kind == "auto" else 1}


def check_training(options: Training) -> None:
    """Refuse options that do not go together, before anything heavy is imported."""
    check_device(options.device)
    if options.resume and options.checkpoints is None:
        msg = "--resume needs --checkpoints, the folder to go on from."
        raise InputError(msg)


def columns_of(options: Training) -> dict[str, list[str]]:
    """Columns that the options name, by the argument of the setup."""
    return {
        "batch_key": [] if options.batch is None else [options.batch],
        "labels_key": options.levels,
        "target_keys": options.targets or [],
    }


def named(options: Training) -> list[str]:
    """List the columns that the options name."""
    return [key for keys in columns_of(options).values() for key in keys]


def fit(
    adata: AnnData, options: Training, check: Callable[[DomainVI], object] = lambda _: None
) -> DomainVI:
    """Set up and train a model; ``check`` refuses one before it is trained."""
    from domainvi import DomainVI

    DomainVI.setup_anndata(
        adata,
        batch_key=options.domain,
        labels_key=options.levels,
        target_keys=options.targets,
        unlabeled_category=options.unlabeled,
        layer=options.layer,
    )
    model = DomainVI(adata, seed=options.seed)
    check(model)
    # scvi-tools prints what stopped a training, which the caller reports anyhow.
    with redirect_stdout(io.StringIO()):
        model.train(
            max_epochs=options.max_epochs,
            enable_progress_bar=False,
            enable_model_summary=False,
            checkpoint_dir=None if options.checkpoints is None else located(options.checkpoints),
            resume=options.resume,
            callbacks=[epoch_report(sys.stderr)],
            **accelerator(options.device),
        )
    return model


def epoch_report(stream: TextIO) -> Callback:
    """Write a line for each epoch: in place on a terminal, about twenty in all to a file."""
    from lightning.pytorch.callbacks import LambdaCallback

    in_place = stream.isatty()

    def report(trainer: Trainer) -> None:
        line = _progress(trainer)
        stream.write(f"{_ERASE}{line}" if in_place else f"{line}\n")
        stream.flush()

    # The plan logs the metrics of an epoch after the hooks of its end, so they are shown later.
    def epoch_starts(trainer: Trainer, _: LightningModule) -> None:
        every = max(1, (trainer.max_epochs or 1) // _LINES)
        if trainer.current_epoch and (in_place or trainer.current_epoch % every == 0):
            report(trainer)

    def training_ends(trainer: Trainer, _: LightningModule) -> None:
        report(trainer)
        if in_place:
            stream.write("\n")

    return LambdaCallback(on_train_epoch_start=epoch_starts, on_train_end=training_ends)


def _progress(trainer: Trainer) -> str:
    """Describe how far training is, by the metrics of the epoch before."""
    found = trainer.callback_metrics
    text = f"training: epoch {trainer.current_epoch}/{trainer.max_epochs}"
    if "train_loss" in found:
        text += f", loss {found['train_loss']:.2f}"
    if "domain_probe_train" in found and "domain_probe_chance" in found:
        text += (
            f", cohort found by a fresh probe {found['domain_probe_train']:.2f}"
            f" (chance {found['domain_probe_chance']:.2f})"
        )
    return text
