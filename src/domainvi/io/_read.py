"""Read a model directory that may come from a stranger."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING, Any

from ._codec import decode_json
from ._manifest import Manifest, read_manifest
from ._paths import (
    MANIFEST_NAME,
    NO_PICKLE,
    RESTORE,
    check_directory,
    check_location,
    fault,
    looks_like_pickle,
    open_regular,
    system_faults,
)
from ._tensors import check_header, header_length, unpack_tensors

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    import torch

# A reader that meets a writer tries again; the writer needs a few milliseconds for its last step.
_ATTEMPTS = 5


def read_model(directory: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Load what :func:`write_model` saved; nothing in the directory is ever executed.

    Checked in this order, each before more is read: kinds of all directory entries; ``model.json``
    (size, strict JSON, format, schema version, its checksum, file names); size of the weights, no
    more than the memory of the machine; their header (length, strict JSON, names, dtypes, shapes);
    their SHA-256; that the tensors fill the file without gaps. The checksums find damage, not
    forgery: they are stored in the directory itself. Whatever is wrong is a ``ModelFileError`` of
    one line that says what and how to go on.

    Tensors come sorted by name, on the CPU, with the decoded metadata.

    Examples
    --------
    >>> read_model("no-such-model")
    Traceback (most recent call last):
    ...
    domainvi.errors.ModelFileError: ... does not exist. Check the path of the model directory.
    """
    path = check_location(directory)
    with system_faults(path):
        check_directory(path)
        manifest, data = _read_consistent(path)
        weights_path = path / manifest.weights_name
        try:
            tensors = unpack_tensors(data)
        except ValueError as error:
            raise fault(weights_path, f"is not valid safetensors: {error}", RESTORE) from error
        metadata = decode_json(manifest.metadata, tensors)
        return tensors, metadata


def _read_consistent(path: Path) -> tuple[Manifest, bytes]:
    """Read manifest and weights of one save, also while another process replaces them."""
    checksum = ""
    for _ in range(_ATTEMPTS):
        manifest = _find_manifest(path)
        try:
            return manifest, _read_weights(path / manifest.weights_name, manifest)
        except FileNotFoundError:
            if manifest.checksum == checksum:
                break
            checksum = manifest.checksum
    raise fault(path, f"lacks its weights file {manifest.weights_name!r}", RESTORE)


def _find_manifest(path: Path) -> Manifest:
    try:
        return read_manifest(path / MANIFEST_NAME)
    except FileNotFoundError as error:
        problem = f"holds no {MANIFEST_NAME}, so it is no DomainVI model"
        raise fault(path, problem, "Give a directory written by model.save().") from error


def _read_weights(path: Path, manifest: Manifest) -> bytes:
    with open_regular(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size != manifest.weights_bytes:
            problem = f"has {size} bytes where {manifest.weights_bytes} are expected"
            raise fault(path, problem, RESTORE)
        try:
            if size > _memory():
                raise MemoryError  # some systems promise more than they have
            head = _checked_head(path, handle, size)
            data = head + handle.read(size - len(head))
        except MemoryError as error:
            problem = f"needs {size} bytes of memory, more than there are"
            raise fault(path, problem, "Load it on a larger machine.") from error
    if hashlib.sha256(data).hexdigest() != manifest.weights_sha256:
        raise fault(path, "does not match its checksum: it was changed or damaged", RESTORE)
    return data


def _memory() -> int:
    """Bytes of memory of this machine, where it tells."""
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _checked_head(path: Path, handle: BinaryIO, size: int) -> bytes:
    prefix = handle.read(8)
    try:
        header = handle.read(header_length(prefix, size))
        check_header(header)
    except ValueError as error:
        if looks_like_pickle(prefix):
            raise fault(path, "is a pickle, not safetensors", NO_PICKLE) from error
        raise fault(path, f"is not valid safetensors: {error}", RESTORE) from error
    return prefix + header
