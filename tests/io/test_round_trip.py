"""What is saved comes back, bit for bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from domainvi.errors import InputError
from domainvi.io import read_model, write_model
from domainvi.io._tensors import pack_tensors

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 3, 4)], ids=str)
def test_every_dtype_and_shape(dtype, shape, tmp_path, same):
    value = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 9 - 4).to(dtype)
    write_model(tmp_path / "m", {"x": value}, {})
    tensors, metadata = read_model(tmp_path / "m")
    assert same({"x": value}, tensors)
    assert metadata == {}


def test_special_floats_keep_their_bits(tmp_path, same):
    value = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    write_model(tmp_path / "m", {"x": value}, {})
    assert same(value, read_model(tmp_path / "m")[0]["x"])


def test_sample(saved, sample, same):
    tensors, metadata = read_model(saved)
    assert same(dict(sorted(sample[0].items())), tensors)
    assert same(sample[1], metadata)


def test_no_tensors_at_all(tmp_path):
    write_model(tmp_path / "m", {}, {"only": "metadata"})
    assert read_model(tmp_path / "m") == ({}, {"only": "metadata"})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int64).reshape(2, 3).T,
        np.arange(3, dtype=">f4"),
        np.full((), 2.5),
        np.array([True, False]),
    ],
    ids=["transposed", "big-endian", "0-d", "bool"],
)
def test_numpy_arrays(array, tmp_path):
    array.flags.writeable = False
    write_model(tmp_path / "m", {"x": array}, {})
    np.testing.assert_array_equal(read_model(tmp_path / "m")[0]["x"].numpy(), array)


def test_tied_strided_and_trained_tensors(tmp_path):
    tied = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    write_model(tmp_path / "m", {"a": tied, "b": tied, "t": tied.T, "row": tied[1]}, {})
    tensors, _ = read_model(tmp_path / "m")
    assert tensors["a"].tolist() == tensors["b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensors["row"].tolist() == [3, 4, 5]
    assert tied.requires_grad
    assert not tensors["a"].requires_grad


def test_loaded_tensors_can_be_changed_without_touching_each_other_or_the_file(saved):
    tensors, _ = read_model(saved)
    for tensor in tensors.values():
        tensor.zero_()
    assert read_model(saved)[0]["encoder.weight"].abs().sum() > 0


def test_header_of_640_bytes_is_no_pickle(tmp_path, same):
    # Its length reads 80 02 on the disk, which is also how a pickle of protocol 2 begins.
    candidates = ({"x" * n: torch.ones(1), "y" * 300: torch.zeros(1)} for n in range(1, 400))
    tensors = next(t for t in candidates if pack_tensors(t)[:8] == (640).to_bytes(8, "little"))
    write_model(tmp_path / "m", tensors, {})
    assert same(tensors, read_model(tmp_path / "m")[0])


def test_same_model_gives_same_bytes(sample, tmp_path):
    for name in "ab":
        write_model(tmp_path / name, *sample)
    files = [sorted(p.name for p in (tmp_path / name).iterdir()) for name in "ab"]
    assert files[0] == files[1]
    for name in files[0]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_manifest_is_plain_and_complete(saved):
    content = json.loads((saved / "model.json").read_text())
    assert content["format"] == "domainvi-model"
    assert content["schema_version"] == 1
    assert content["package_version"] == "0.1.0"
    ((name, entry),) = content["files"].items()
    assert (saved / name).stat().st_size == entry["bytes"]
    assert name == f"weights-{entry['sha256'][:16]}.safetensors"


def test_odd_names(tmp_path):
    directory = tmp_path / "модель αβ with spaces" / ("x" * 255)
    write_model(directory, {"ключ 1": torch.ones(1)}, {"é": "\n\ud800"})
    tensors, metadata = read_model(directory)
    assert list(tensors) == ["ключ 1"]
    assert metadata == {"é": "\n\ud800"}


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"x": [1.0]}, "must be a tensor or a numpy array, got list"),
        ({"x": np.array(["a"], dtype=object)}, "dtype object"),
        ({"x": np.array(["a"])}, "dtype <U1"),
        ({"x": torch.zeros(1, dtype=torch.complex64)}, "complex64"),
        ({"x": torch.zeros(2, 2).to_sparse()}, "must be dense"),
        ({"x": torch.zeros(2, device="meta")}, "on meta"),
        ({1: torch.zeros(1)}, "names must be text"),
        ({"": torch.zeros(1)}, "cannot be used"),
        ({"__metadata__": torch.zeros(1)}, "cannot be used"),
        ({"\ud800": torch.zeros(1)}, "cannot be used"),
        ({"x" * 600: torch.zeros(1)}, "cannot be used"),
        ({"x": torch.zeros(1).reshape((1,) * 20)}, "impossible shape"),
    ],
)
def test_tensors_that_cannot_be_held(tensors, match, tmp_path):
    with pytest.raises(InputError, match=match):
        write_model(tmp_path / "m", tensors, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"metadata": {"x": "a" * 2**25}}, "more than 33554432"),
        ({"metadata": {"x": [np.nan] * 2**20}}, "lists and objects, more than 1048576"),
        ({"metadata": {1: 2}}, "keys must be text"),
        ({"directory": ""}, "non-empty"),
        ({"directory": "a\0b"}, "NUL"),
        ({"directory": "\ud800"}, "non-empty text path"),
        ({"directory": 3}, "must be a path, got int"),
        ({"directory": b"bytes"}, "must be a path, got bytes"),
    ],
)
def test_other_arguments(changes, match, tmp_path):
    arguments = {"directory": tmp_path / "m", "tensors": {}, "metadata": {}} | changes
    with pytest.raises(InputError, match=match):
        write_model(**arguments)
    assert list(tmp_path.iterdir()) == []
