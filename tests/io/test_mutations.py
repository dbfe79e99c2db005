"""Random damage: the documented error or the same model, soon, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import time

import numpy as np
import pytest
from tests.documents import edit

from domainvi.errors import ModelFileError
from domainvi.io import read_model

MAX_SECONDS = 10


def pick(rng, directory):
    files = sorted(p for p in directory.iterdir() if p.is_file())
    return files[rng.integers(len(files))]


def flip(rng, directory):
    path = pick(rng, directory)
    data = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 4)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(data)


def overwrite_span(rng, directory):
    path = pick(rng, directory)
    data = bytearray(path.read_bytes())
    start = rng.integers(len(data))
    data[start : start + rng.integers(1, 64)] = rng.bytes(rng.integers(0, 64))
    path.write_bytes(data)


def truncate(rng, directory):
    path = pick(rng, directory)
    path.write_bytes(path.read_bytes()[: rng.integers(path.stat().st_size)])


def extend(rng, directory):
    path = pick(rng, directory)
    path.write_bytes(path.read_bytes() + rng.bytes(rng.integers(1, 100)))


def zeros(rng, directory):
    path = pick(rng, directory)
    path.write_bytes(bytes(path.stat().st_size))


def delete(rng, directory):
    pick(rng, directory).unlink()


def swap(rng, directory):
    first, second = sorted(directory.iterdir())
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def extra(rng, directory):
    names = ["model.pt", "x.txt", "weights-0123456789abcdef.safetensors", "é", ".hidden", "a.npz"]
    path = directory / names[rng.integers(len(names))]
    magic = [b"", b"\x80\x04", b"PK\x03\x04", b"\x89HDF"][rng.integers(4)]
    path.write_bytes(magic + rng.bytes(rng.integers(0, 50)))


def special(rng, directory):
    path = pick(rng, directory) if rng.random() < 0.5 else directory / "extra"
    path.unlink(missing_ok=True)
    kind = rng.integers(3)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to(directory)
    else:
        path.mkdir()


def digits(rng, directory):
    """Replace a digit in the manifest: still JSON, other numbers."""
    path = directory / "model.json"
    data = bytearray(path.read_bytes())
    places = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
    data[places[rng.integers(len(places))]] = ord(str(rng.integers(10)))
    path.write_bytes(data)


MUTATIONS = (
    flip, flip, overwrite_span, truncate, extend, zeros, delete, swap, extra, special, digits,
)  # fmt: skip


def outcome(directory):
    """Load, with a limit on the time; None for the documented error."""
    start, result, message = time.monotonic(), None, ""
    try:
        result = read_model(directory)
    except ModelFileError as error:
        message = str(error)
    assert time.monotonic() - start < MAX_SECONDS
    assert "\n" not in message
    return result


def is_mutable(directory):
    """Tell whether the two files are still there for a further mutation."""
    files = list(directory.iterdir())
    return (
        len(files) == 2
        and all(path.is_file() and path.stat().st_size for path in files)
        and any(chr(byte).isdigit() for byte in (directory / "model.json").read_bytes())
    )


def damage(saved, tmp_path, same, seed, n_mutations):
    rng = np.random.default_rng(seed)
    truth = list(read_model(saved))
    counts = {"refused": 0, "same": 0}
    for i in range(n_mutations):
        directory = tmp_path / "mutated"
        shutil.copytree(saved, directory)
        names = []
        for _ in range(rng.integers(1, 3)):
            if is_mutable(directory):
                mutation = MUTATIONS[rng.integers(len(MUTATIONS))]
                mutation(rng, directory)
                names.append(mutation.__name__)
        result = outcome(directory)
        assert result is None or same(truth, list(result)), f"mutation {i}: {names}"
        counts["refused" if result is None else "same"] += 1
        shutil.rmtree(directory)
    return counts


def test_damaged_directories(saved, tmp_path, same):
    counts = damage(saved, tmp_path, same, seed=0, n_mutations=200)
    assert sum(counts.values()) == 200
    assert counts["refused"] > 100
    assert counts["same"] > 5


@pytest.mark.slow
def test_damaged_directories_at_length(saved, tmp_path, same):
    counts = damage(saved, tmp_path, same, seed=1, n_mutations=2000)
    assert sum(counts.values()) == 2000
    assert counts["refused"] > 1000


JUNK = (
    None, True, -1, 0, 2**63, 1.5, "", "x" * 1000, [], {}, [[]], {"__float__": "nan"},
    {"__float__": 1}, {"__dict__": {"__dict__": 1}}, {"__ndarray__": {}}, {"__ndarray__": [[]]},
    {"__ndarray__": "metadata/0"}, {"__ndarray__": "mask"}, {"__ndarray__": ["a"] * 50},
)  # fmt: skip


def forge(saved, tmp_path, resign, seed, n_mutations):
    """Edit manifest or header and make every checksum fit again."""
    rng = np.random.default_rng(seed)
    (weights,) = saved.glob("weights-*")
    data = weights.read_bytes()
    stop = 8 + int.from_bytes(data[:8], "little")
    n_refused = 0
    for _ in range(n_mutations):
        directory = tmp_path / "forged"
        shutil.copytree(saved, directory)
        if rng.random() < 0.5:
            content = json.loads((directory / "model.json").read_text())
            edit(rng, content, JUNK)
            resign(directory, **content)
        else:
            header = json.loads(data[8:stop])
            for _ in range(rng.integers(1, 3)):
                edit(rng, header, JUNK)
            text = json.dumps(header).encode()
            resign(directory, weights=len(text).to_bytes(8, "little") + text + data[stop:])
        n_refused += outcome(directory) is None
        shutil.rmtree(directory)
    return n_refused


def test_forged_directories(saved, tmp_path, resign):
    assert forge(saved, tmp_path, resign, seed=0, n_mutations=200) > 100


@pytest.mark.slow
def test_forged_directories_at_length(saved, tmp_path, resign):
    assert forge(saved, tmp_path, resign, seed=1, n_mutations=2000) > 1000
