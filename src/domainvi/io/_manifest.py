"""``model.json``: what a model directory holds, with the checksums that prove it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domainvi.errors import InputError

from ._codec import check_containers, dump_json, parse_json
from ._paths import NO_PICKLE, RESTORE, WEIGHTS_PATTERN, fault, looks_like_pickle, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "domainvi-model"
SCHEMA_VERSION = 1
MAX_MANIFEST_BYTES = 2**25


@dataclass(frozen=True)
class Manifest:
    """The checked content of ``model.json``; ``metadata`` is still encoded."""

    weights_name: str
    weights_sha256: str
    weights_bytes: int
    metadata: dict[str, Any]
    checksum: str


def weights_name(weights: bytes) -> str:
    """Name a weights file by its content, so that old and new ones never collide."""
    return f"weights-{_sha256(weights)[:16]}.safetensors"


def build_manifest(weights: bytes, metadata: Any, package_version: str) -> bytes:
    """Make the bytes of ``model.json``; ``metadata`` is encoded."""
    content = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "package_version": package_version,
        "files": {weights_name(weights): {"sha256": _sha256(weights), "bytes": len(weights)}},
        "metadata": metadata,
    }
    data = dump_json({**content, "checksum": _sha256(dump_json(content))})
    try:
        if len(data) > MAX_MANIFEST_BYTES:
            msg = f"it takes {len(data)} bytes, more than {MAX_MANIFEST_BYTES}"
            raise ValueError(msg)
        check_containers(data)
    except ValueError as error:
        msg = f"metadata cannot be saved as JSON: {error}. Pass long lists as arrays of numbers."
        raise InputError(msg) from error
    return data


def read_manifest(path: Path) -> Manifest:
    """Read and check ``model.json``: format, then schema version, then everything else."""
    content = _parsed(path)
    version = content.get("schema_version")
    if type(version) is not int or version < 1:
        raise fault(path, f"has no valid schema version ({version!r:.40})", RESTORE)
    if version > SCHEMA_VERSION:
        writer = f"{content.get('package_version')!r:.40}"
        raise fault(
            path,
            f"has schema version {version}, written by DomainVI {writer}; this installation reads "
            f"up to {SCHEMA_VERSION}",
            "Upgrade it: pip install --upgrade domainvi.",
        )
    checksum = content.pop("checksum", None)
    if not isinstance(checksum, str) or checksum != _sha256(dump_json(content)):
        raise fault(path, "does not match its own checksum: it was changed or damaged", RESTORE)
    return _checked(path, content, checksum)


def is_model_manifest(path: Path) -> bool:
    """Tell whether a file is a manifest of ours, of whatever schema version."""
    try:
        content = parse_json(read_bounded(path, MAX_MANIFEST_BYTES))
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _parsed(path: Path) -> dict[str, Any]:
    data = read_bounded(path, MAX_MANIFEST_BYTES)
    if looks_like_pickle(data[:8]):
        raise fault(path, "is a pickle, not JSON", NO_PICKLE)
    try:
        content = parse_json(data)
    except ValueError as error:
        raise fault(path, f"is not valid JSON: {error}", RESTORE) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise fault(
            path,
            "does not describe a DomainVI model",
            "Give a directory written by model.save() of DomainVI.",
        )
    return content


def _checked(path: Path, content: dict[str, Any], checksum: str) -> Manifest:
    """Check the entries: the checksum proves integrity, not that the author meant well."""
    files, metadata = content.get("files"), content.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(content.get("package_version"), str):
        raise fault(path, "lacks metadata or package_version", RESTORE)
    if not isinstance(files, dict) or len(files) != 1:
        raise fault(path, "must list exactly one weights file", RESTORE)
    name, entry = next(iter(files.items()))
    match = WEIGHTS_PATTERN.fullmatch(name)
    if match is None:
        raise fault(path, f"lists the file {name!r:.80}, a name that is not allowed", RESTORE)
    if not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"}:
        raise fault(path, f"does not give sha256 and bytes of {name!r}", RESTORE)
    digest, size = entry["sha256"], entry["bytes"]
    if not isinstance(digest, str) or not digest.startswith(match[1]):
        raise fault(path, f"gives a checksum that does not fit {name!r}", RESTORE)
    if type(size) is not int or size < 0:
        raise fault(path, f"gives an impossible size for {name!r}", RESTORE)
    return Manifest(name, digest, size, metadata, checksum)
