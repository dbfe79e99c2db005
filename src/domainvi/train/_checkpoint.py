"""Checkpoints of a training as model directories: tensors and JSON, written in one step."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from domainvi.errors import InputError, ModelFileError
from domainvi.io import read_model, write_model

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

KIND = "checkpoint"
_TENSOR, _ITEMS = "__tensor__", "__items__"


class CheckpointFiles(CheckpointIO):
    """Read and write lightning's checkpoints without pickle.

    Parameters
    ----------
    identity
        What has to be the same for a training to be continued; stored beside the checkpoint.
    found
        Checkpoint of :func:`read_checkpoint` that is handed over when one is loaded.
    """

    def __init__(self, identity: dict[str, Any], found: dict[str, Any] | None = None) -> None:
        self.identity, self.found = identity, found

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; a crash leaves the one before or this one."""
        tensors: dict[str, torch.Tensor] = {}
        content = _without_tensors(checkpoint, "", tensors)
        metadata = {"model": KIND, "identity": self.identity, "checkpoint": content}
        write_model(path, tensors, metadata, overwrite=True, package_version=version("domainvi"))

    def load_checkpoint(
        self, path: str | os.PathLike, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Hand over the checkpoint that was read before the training began."""
        return self.found or read_checkpoint(path, self.identity)

    def remove_checkpoint(self, path: str | os.PathLike) -> None:
        """Do nothing: a checkpoint is replaced by the next one."""


def read_checkpoint(path: str | os.PathLike, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Read a checkpoint of the training that is to be continued.

    Raises
    ------
    ModelFileError
        If the directory is damaged or holds something else.
    InputError
        If it is of another training: other data, model or arguments.
    """
    tensors, metadata = read_model(path)
    if metadata.get("model") != KIND:
        msg = f"{path} holds a model, not a checkpoint. Load it with load()."
        raise ModelFileError(msg)
    try:
        stored = dict(metadata["identity"])
        checkpoint = _with_tensors(metadata["checkpoint"], tensors)
    except (LookupError, TypeError, ValueError) as error:
        msg = f"{path} is no complete checkpoint ({error}). Remove it and train anew."
        raise ModelFileError(msg) from error
    for name in sorted(stored.keys() | identity.keys()):
        if stored.get(name) != identity.get(name):
            msg = (
                f"checkpoint_dir={str(path)!r} is of a training with other {name}: "
                f"{stored.get(name)!s:.80} there, {identity.get(name)!s:.80} here. Continue with "
                "the same data and arguments, or choose another folder."
            )
            raise InputError(msg)
    return checkpoint


def has_checkpoint(path: str | os.PathLike) -> bool:
    """Tell whether a directory holds a checkpoint, or anything at all."""
    folder = Path(path)
    return folder.exists() and (not folder.is_dir() or any(folder.glob("model.json")))


def _without_tensors(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Move tensors out of nested containers, and spell out dicts whose keys are not text."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {_TENSOR: name}
    if isinstance(value, dict):
        items = [(k, _without_tensors(v, f"{name}/{k}", tensors)) for k, v in value.items()]
        if all(isinstance(k, str) for k in value):
            return dict(items)
        return {_ITEMS: [list(item) for item in items]}
    if isinstance(value, list | tuple):
        return [_without_tensors(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Undo :func:`_without_tensors`."""
    if isinstance(value, list):
        return [_with_tensors(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_TENSOR}:
        return tensors[value[_TENSOR]]
    if value.keys() == {_ITEMS}:
        return {k: _with_tensors(v, tensors) for k, v in value[_ITEMS]}
    return {k: _with_tensors(v, tensors) for k, v in value.items()}
