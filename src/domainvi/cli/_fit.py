"""Training as the commands do it: on a named device, with progress and checkpoints."""

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvi.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from domainvi import DomainVI

_FORMS = "auto, cpu, cuda, cuda:<number> or mps"


def accelerator(device: str) -> dict[str, Any]:
    """Translate `--device` into the arguments of `train`.

    Raises
    ------
    InputError
        If the name is not known, or this machine has no such device.
    """
    import torch

    kind, _, number = device.partition(":")
    if kind not in {"auto", "cpu", "cuda", "mps"} or (number and kind != "cuda"):
        raise InputError(f"--device {device!r} is not known; expected {_FORMS}.")
    if kind == "cuda":
        n_gpus = torch.cuda.device_count()
        if number and not number.isdecimal():
            raise InputError(f"--device {device!r} is not known; expected {_FORMS}.")
        if int(number or 0) >= n_gpus:
            raise InputError(f"--device {device}: this machine has {n_gpus} usable CUDA GPUs.")
        return {"accelerator": "gpu", "devices": [int(number or 0)]}
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError("--device mps: this machine has no usable Apple GPU.")
    return {"accelerator": kind, "devices": "auto" if kind == "auto" else 1}


def fit(
    adata: "AnnData",
    *,
    batch: str,
    labels: str,
    unlabeled: str,
    layer: str | None,
    seed: int,
    where: dict[str, Any],
    max_epochs: int | None,
    targets: list[str] | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
) -> "DomainVI":
    """Set up and train a model on the device of :func:`accelerator`."""
    from domainvi import DomainVI

    from ._progress import EpochReport

    if resume and checkpoints is None:
        raise InputError("--resume needs --checkpoints, the folder to go on from.")

    DomainVI.setup_anndata(
        adata,
        batch_key=batch,
        labels_key=labels,
        target_keys=targets,
        unlabeled_category=unlabeled,
        layer=layer,
    )
    model = DomainVI(adata, seed=seed)
    # scvi-tools prints what stopped a training, which the caller reports anyhow.
    with redirect_stdout(io.StringIO()):
        model.train(
            max_epochs=max_epochs,
            enable_progress_bar=False,
            enable_model_summary=False,
            checkpoint_dir=checkpoints,
            resume=resume,
            callbacks=[EpochReport(sys.stderr)],
            **where,
        )
    return model
