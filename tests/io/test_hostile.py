"""Model directories made by someone who means harm."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import threading
import tracemalloc
from pathlib import Path

import pytest
import torch

from domainvi.errors import ModelFileError
from domainvi.io import _paths, _read, read_model, write_model


class Evil:
    """Unpickling creates a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture(params=["protocol 2", "protocol 4", "protocol 5", "torch", "torch legacy"])
def crafted(request, tmp_path):
    """Bytes of a harmful file, and the file that would appear."""
    marker, file = tmp_path / "executed", tmp_path / "crafted"
    kind, _, protocol = request.param.partition(" ")
    if kind == "protocol":
        file.write_bytes(pickle.dumps(Evil(marker), protocol=int(protocol)))
        pickle.loads(file.read_bytes())
    else:
        torch.save(Evil(marker), file, _use_new_zipfile_serialization=not protocol)
        torch.load(file, weights_only=False)
    assert marker.exists(), "the crafted file must be able to do harm"
    marker.unlink()
    return file.read_bytes(), marker


def refused(directory, match):
    with pytest.raises(ModelFileError, match=match) as caught:
        read_model(directory)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("place", ["model.json", "model.pt", "notes.txt", "w.ckpt", "alone"])
def test_pickle_in_any_place_is_never_opened(place, crafted, saved):
    data, marker = crafted
    if place == "alone":
        shutil.rmtree(saved)
        saved.mkdir()
        place = "model.pt"
    (saved / place).write_bytes(data)
    refused(saved, "is a pickle.*never opens pickles")
    assert not marker.exists()


def test_pickle_as_weights(crafted, saved, resign):
    data, marker = crafted
    resign(saved, weights=data)
    refused(saved, "is a pickle, not safetensors.*never opens pickles")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["model.pt", "model"])
def test_pickle_as_the_directory(name, crafted, tmp_path):
    data, marker = crafted
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, "is a pickle, not a model directory.*never opens pickles")
    assert not marker.exists()


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("header", "data", "match"),
    [
        ({"x": entry(offsets=(0, 2**62))}, b"1234", "is not valid safetensors"),
        ({"x": entry(shape=(2**62,), offsets=(0, 2**64))}, b"1234", "impossible shape"),
        ({"x": entry(shape=(2**40,), offsets=(0, 2**42))}, b"1234", "is not valid safetensors"),
        ({"x": entry(shape=(0, 2**62), offsets=(0, 0))}, b"", "impossible shape"),
        ({"x": entry(shape=(1,) * 1000)}, b"1234", "impossible shape"),
        ({"x": entry(shape=(-1, -1))}, b"1234", "impossible shape"),
        ({"x": entry(shape=(1.0,))}, b"1234", "impossible shape"),
        ({"x": entry(shape=(True,))}, b"1234", "impossible shape"),
        ({"x": entry(), "y": entry()}, b"1234", "is not valid safetensors"),
        ({"x": entry(), "y": entry(offsets=(2, 6))}, b"123456", "is not valid safetensors"),
        ({"x": entry(), "y": entry(offsets=(8, 12))}, b"1" * 12, "is not valid safetensors"),
        ({"x": entry(offsets=(4, 8))}, b"1" * 8, "is not valid safetensors"),
        ({"x": entry(offsets=(4, 0))}, b"1234", "is not valid safetensors"),
        ({"x": entry(offsets=(-4, 0))}, b"1234", "is not valid safetensors"),
        ({"x": entry(offsets=(0, 4, 8))}, b"1234", "is not valid safetensors"),
        ({"x": entry()}, b"12345", "is not valid safetensors"),
        ({"x": entry()}, b"", "is not valid safetensors"),
        ({"x": entry(dtype="C64", offsets=(0, 8))}, b"1" * 8, "dtype 'C64', which is not allowed"),
        ({"x": entry(dtype="F8_E4M3", offsets=(0, 1))}, b"1", "not allowed"),
        ({"x": entry(dtype=["F32"])}, b"1234", "not allowed"),
        ({"x": entry(dtype="BOOL", offsets=(0, 1))}, b"\x02", "neither 0 nor 1"),
        ({"x": entry() | {"extra": 1}}, b"1234", "not described by"),
        ({"x": [1]}, b"1234", "not described by"),
        ({"": entry()}, b"1234", "name has 0 characters"),
        ({"x" * 600: entry()}, b"1234", "name has 600 characters"),
        (b"[]", b"", "not a JSON object"),
        (b"", b"", "not a JSON object"),
        (b" {}", b"", "not a JSON object"),
        (b'{"x":' * 100_000, b"", "nested deeper|is not valid safetensors"),
        (b'{"x":{},"x":{}}', b"", "same key twice"),
        (b'{"x":NaN}', b"", "NaN is not JSON"),
        (b'{"x":' + b"9" * 5000 + b"}", b"", "is not valid safetensors"),
        (b'{"\xff":1}', b"", "is not valid safetensors"),
        ({"__metadata__": {"a": 1}}, b"", "is not valid safetensors"),
    ],
)
def test_crafted_weights_with_fitting_checksums(header, data, match, saved, resign, craft_weights):
    resign(saved, weights=craft_weights(header, data))
    refused(saved, match)


@pytest.mark.parametrize("length", [2**23 + 1, 2**40, 2**63, 2**64 - 1])
def test_header_bomb_is_refused_before_allocation(length, saved, resign):
    resign(saved, weights=length.to_bytes(8, "little") + b"{}")
    tracemalloc.start()
    refused(saved, "header claims")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("size", range(8))
def test_weights_shorter_than_their_prefix(size, saved, resign):
    resign(saved, weights=bytes(size))
    refused(saved, "is not valid safetensors")


def test_weights_larger_than_the_memory_are_not_read(saved, resign, monkeypatch):
    monkeypatch.setattr(_read, "_memory", lambda: 2**39)
    (weights,) = saved.glob("weights-*")
    with weights.open("r+b") as handle:
        handle.truncate(2**40)  # sparse: takes no space
    refused(saved, "has 1099511627776 bytes where")
    files = {weights.name: {"sha256": "0" * 64, "bytes": 2**40}}
    content = json.loads((saved / "model.json").read_text())
    files[weights.name]["sha256"] = content["files"][weights.name]["sha256"]
    resign(saved, files=files)
    refused(saved, "needs 1099511627776 bytes of memory, more than there are")


def test_weights_may_take_the_memory_that_there_is(saved, monkeypatch):
    (weights,) = saved.glob("weights-*")
    size = weights.stat().st_size
    monkeypatch.setattr(_read, "_memory", lambda: size - 1)
    refused(saved, f"needs {size} bytes of memory, more than there are. Load it on a larger")
    monkeypatch.setattr(_read, "_memory", lambda: size)
    assert len(read_model(saved)[0]) == 4


def test_models_of_more_than_four_gigabytes_are_not_refused():
    assert _read._memory() > 2**30


@pytest.mark.parametrize("name", ["half", "no such tensor"])
def test_metadata_with_arrays_that_are_none(name, tmp_path, resign):
    write_model(tmp_path / "m", {"half": torch.zeros(1, dtype=torch.bfloat16)}, {})
    resign(tmp_path / "m", metadata={"x": {"__ndarray__": name}})
    refused(tmp_path / "m", "Model metadata is damaged")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "not valid JSON"),
        (b"null", "does not describe a DomainVI model"),
        (b"{}", "does not describe a DomainVI model"),
        (b'{"format": "gpt"}', "does not describe a DomainVI model"),
        (b"[" * 1_000_000, "nested deeper than 128"),
        (b"[" * 2_000_000, "2000000 lists and objects, more than 1048576"),
        (b'{"a":[' + b"[]," * 11_000_000 + b"[]]}", "lists and objects, more than"),
        (b"[" * 200 + b"]" * 200, "nested deeper than 128"),
        (b'{"a":1,"a":2}', "same key twice"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
        (b'{"a":1e999}', "out of range"),
        (b'{"a":' + b"1" * 10_000 + b"}", "not valid JSON"),
        (b'{"a":"\xff"}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
    ],
)
def test_crafted_manifest(data, match, saved):
    (saved / "model.json").write_bytes(data)
    refused(saved, match)


def test_oversized_manifest_is_not_read(saved):
    with (saved / "model.json").open("r+b") as handle:
        handle.truncate(2**40)
    refused(saved, "more than the limit of 33554432")


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "..",
        ".",
        "",
        "/etc/passwd",
        "sub/weights-0123456789abcdef.safetensors",
        "..\\weights-0123456789abcdef.safetensors",
        "C:weights-0123456789abcdef.safetensors",
        "weights-0123456789abcdef.safetensors\0",
        "weights-0123456789abcdef.safetensors\n",
        "weights-0123456789ABCDEF.safetensors",
        "model.json",
    ],
)
def test_file_names_that_lead_elsewhere(name, saved, resign):
    resign(saved, files={name: {"sha256": "0123456789abcdef" * 4, "bytes": 3}})
    refused(saved, "a name that is not allowed")


DIGEST = hashlib.sha256(b"").hexdigest()
NAME = f"weights-{DIGEST[:16]}.safetensors"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"files": {}}, "exactly one weights file"),
        ({"files": [NAME]}, "exactly one weights file"),
        ({"files": {NAME: 1}}, "does not give sha256 and bytes"),
        ({"files": {NAME: {"sha256": DIGEST}}}, "does not give sha256 and bytes"),
        ({"files": {NAME: {"sha256": 1, "bytes": 1}}}, "checksum that does not fit"),
        ({"files": {NAME: {"sha256": "0" * 64, "bytes": 1}}}, "checksum that does not fit"),
        ({"files": {NAME: {"sha256": DIGEST, "bytes": -1}}}, "impossible size"),
        ({"files": {NAME: {"sha256": DIGEST, "bytes": 1.0}}}, "impossible size"),
        ({"files": {NAME: {"sha256": DIGEST, "bytes": 0}}}, "lacks its weights file"),
        ({"metadata": []}, "lacks metadata"),
        ({"package_version": 3}, "lacks metadata or package_version"),
        ({"metadata": {"x": {"__float__": "one"}}}, "Model metadata is damaged"),
        ({"schema_version": "1"}, "no valid schema version"),
        ({"schema_version": True}, "no valid schema version"),
        ({"schema_version": 0}, "no valid schema version"),
        ({"schema_version": None}, "no valid schema version"),
    ],
)
def test_crafted_entries_with_fitting_checksum(changes, match, saved, resign):
    resign(saved, **changes)
    refused(saved, match)


def test_links_devices_and_pipes(saved, tmp_path):
    (tmp_path / "link").symlink_to(saved)
    refused(tmp_path / "link", "is a symbolic link. Give the path")
    (saved / "README.md").symlink_to("/etc/passwd")
    refused(saved, "symbolic link inside a model directory.*cp -rL")
    (saved / "README.md").unlink()
    (saved / "loop").symlink_to(saved / "loop")
    refused(saved, "symbolic link inside")
    (saved / "loop").unlink()
    os.mkfifo(saved / "pipe")
    refused(saved, "neither a file nor a directory")
    refused("/dev/null", "is not a directory")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "is not a directory")


@pytest.mark.parametrize("pattern", ["model.json", "weights-*"])
@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_own_files_of_another_kind(pattern, kind, saved, tmp_path):
    (path,) = saved.glob(pattern)
    moved = path.rename(tmp_path / "moved")
    if kind == "link":
        path.symlink_to(moved)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    refused(saved, "symbolic link|neither a file|not a regular file")


def test_pipe_that_appears_after_the_check_does_not_hang(saved, monkeypatch):
    (saved / "model.json").unlink()
    os.mkfifo(saved / "model.json")
    monkeypatch.setattr(_paths, "kind_of", lambda path: "file" if path.suffix else "directory")
    faults = []

    def load():
        with pytest.raises(ModelFileError, match="not a regular file") as caught:
            read_model(saved)
        faults.append(caught.value)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert len(faults) == 1


def test_path_with_dots_or_nothing_there(saved, tmp_path):
    refused(saved / ".." / "model", r"contains '\.\.'.*Give the resolved path")
    refused(tmp_path / "missing", "does not exist. Check the path")
    refused(saved / "model.json", "is a file. Give the directory")
    refused(saved / "model.json" / "x", "does not exist")
    refused(tmp_path / ("x" * 5000), "cannot be read: File name too long")
    refused(tmp_path, "holds no model.json, so it is no DomainVI model")


def test_working_directory_that_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    refused("model", "cannot be read: No such file or directory")


def test_path_with_line_break_stays_one_line(tmp_path):
    refused(tmp_path / "a\nb", "does not exist")


def test_missing_weights(saved):
    (weights,) = saved.glob("weights-*")
    weights.unlink()
    refused(saved, f"lacks its weights file '{weights.name}'. Copy the model again")


def test_unreadable_file(saved, monkeypatch):
    original = os.open

    def denied(path, *args, **kwargs):
        if str(path).endswith(".safetensors"):
            raise PermissionError(13, "Permission denied")
        return original(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", denied)
    refused(saved, "cannot be read: Permission denied. Check")


def test_harmless_extra_files_are_ignored(saved, sample, same):
    (saved / "README.md").write_text("card")
    (saved / "notes").mkdir()
    # The length of this header, 640, begins like a pickle.
    (saved / "other.safetensors").write_bytes(
        (640).to_bytes(8, "little") + b"{" + b" " * 638 + b"}"
    )
    (saved / "weights-0123456789abcdef.safetensors").write_bytes(b"of an interrupted save")
    (saved / ".domainvi-0123456789abcdef.tmp").write_bytes(b"half")
    assert same(sample[1], read_model(saved)[1])
