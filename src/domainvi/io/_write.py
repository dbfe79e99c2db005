"""Write a model directory so that a crash at any moment leaves the old one or the new one."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ._atomic import (
    directory_lock,
    put_file,
    remove_leftovers,
    remove_stale_siblings,
    sync_directory,
    temporary_sibling,
    write_new,
)
from ._codec import encode_json
from ._manifest import build_manifest, is_model_manifest, weights_name
from ._paths import (
    MANIFEST_NAME,
    TEMPORARY_PATTERN,
    check_directory,
    check_location,
    fault,
    kind_of,
    system_faults,
)
from ._tensors import pack_tensors

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import torch


class _Content(NamedTuple):
    name: str
    weights: bytes
    manifest: bytes


def write_model(
    directory: str | os.PathLike[str],
    tensors: Mapping[str, torch.Tensor | np.ndarray],
    metadata: Mapping[str, Any],
    *,
    overwrite: bool = False,
    package_version: str = "",
) -> None:
    """Save tensors and metadata as a directory without pickle; the user's objects stay untouched.

    Writes ``weights-<hash>.safetensors`` (also the numeric arrays of the metadata) and
    ``model.json`` (metadata, versions, size and SHA-256 of the weights, a checksum of itself). A
    new directory is built beside its final name, and renamed. In an existing one the new weights
    get a name of their own; replacing ``model.json``, one atomic step, makes them valid; then the
    old weights are removed. Every file is on the disk before a name points to it. What a killed
    process leaves is removed at the next save.

    The directory must not exist, or be empty, or hold a DomainVI model and ``overwrite`` be set;
    other files in it are left alone. Tensors are dense, of bool, uint8, signed integers or floats;
    metadata is numbers, text, numpy arrays, lists and dicts of these. What cannot be held is an
    ``InputError``, and what cannot be written a ``ModelFileError``; the previous model is intact.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(Path(folder) / "model", {"w": torch.ones(2)}, {"n_latent": 2})
    ...     sorted(path.name for path in (Path(folder) / "model").iterdir())
    ['model.json', 'weights-...safetensors']
    """
    path = check_location(directory)
    plain, arrays = encode_json(metadata)
    weights = pack_tensors({**tensors, **arrays})
    manifest = build_manifest(weights, plain, package_version)
    content = _Content(weights_name(weights), weights, manifest)
    with system_faults(path, len(weights) + len(manifest)):
        if kind_of(path) == "missing":
            _create(path, content)
        else:
            check_directory(path)
            _write_in_place(path, content, overwrite=overwrite)


def check_place(directory: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Refuse a directory in which :func:`write_model` would not write, before there is a model."""
    path = check_location(directory)
    with system_faults(path):
        if kind_of(path) != "missing":
            check_directory(path)
            _check_replaceable(path, overwrite=overwrite)
    return path


def _create(target: Path, content: _Content) -> None:
    with _parents(target.parent):
        remove_stale_siblings(target)
        temporary = temporary_sibling(target)
        temporary.mkdir()
        try:
            with directory_lock(temporary) as state:
                _refuse_busy(target, state)
                write_new(temporary / content.name, content.weights)
                write_new(temporary / MANIFEST_NAME, content.manifest)
                sync_directory(temporary)
                temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(target.parent)


@contextmanager
def _parents(parent: Path) -> Iterator[None]:
    """Create missing parents, and take them back if the block fails."""
    missing = []
    while kind_of(parent) == "missing" and parent != parent.parent:
        missing.append(parent)
        parent = parent.parent
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise


def _write_in_place(path: Path, content: _Content, *, overwrite: bool) -> None:
    remove_stale_siblings(path)
    with directory_lock(path) as state:
        _refuse_busy(path, state)
        _check_replaceable(path, overwrite=overwrite)
        known = kind_of(path / content.name) != "missing"
        try:
            put_file(path / content.name, content.weights)
            put_file(path / MANIFEST_NAME, content.manifest)
        except BaseException:
            if not known:
                _take_back(path, content)
            raise
        remove_leftovers(path, keep=content.name)


def _check_replaceable(path: Path, *, overwrite: bool) -> None:
    manifest = path / MANIFEST_NAME
    if kind_of(manifest) == "missing":
        names = [p.name for p in path.iterdir() if not TEMPORARY_PATTERN.fullmatch(p.name)]
        unfinished = all(name.startswith("weights-") for name in names)
        if names and not (overwrite and unfinished):
            problem = f"holds {len(names)} other files (such as {min(names)!r:.80}) and no model"
            raise fault(path, problem, "Choose a new or empty directory.")
    elif not is_model_manifest(manifest):
        raise fault(path, "is not a DomainVI model directory", "Choose a new or empty directory.")
    elif not overwrite:
        raise fault(path, "already holds a model", "Pass overwrite=True or choose another name.")


def _take_back(path: Path, content: _Content) -> None:
    """Remove new weights after a failure, unless ``model.json`` names them already."""
    with suppress(OSError):
        manifest = path / MANIFEST_NAME
        if kind_of(manifest) == "missing" or manifest.read_bytes() != content.manifest:
            (path / content.name).unlink()


def _refuse_busy(path: Path, state: str) -> None:
    if state == "busy":
        raise fault(path, "is being written by another process", "Wait for it, then save again.")
