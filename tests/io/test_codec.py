"""Metadata as JSON."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from domainvi.errors import InputError, ModelFileError
from domainvi.io._codec import decode_json, dump_json, encode_json, parse_json
from domainvi.io._tensors import pack_tensors, unpack_tensors

scalars = st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.floats() | st.text()
arrays = hnp.arrays(
    st.sampled_from(["bool", "int8", "uint16", "uint64", "int64", "float16", "float32", "float64"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
object_arrays = st.lists(scalars, max_size=5).map(
    lambda items: np.fromiter(items, dtype=object, count=len(items))
)
keys = st.text(max_size=5) | st.sampled_from(["__float__", "__ndarray__", "__dict__"])
values = st.recursive(
    scalars | arrays | object_arrays,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(keys, children, max_size=4),
    max_leaves=12,
)


def round_trip(value):
    """Write and read a value, its arrays as tensors and the rest as text."""
    plain, arrays = encode_json(value)
    tensors = unpack_tensors(pack_tensors(arrays))
    back = decode_json(parse_json(dump_json(plain)), tensors)
    assert not tensors
    return back


@settings(max_examples=200, deadline=None)
@given(value=values)
def test_every_value_round_trips_through_json_text(value, same):
    assert same(value, round_trip(value))


@settings(max_examples=50, deadline=None)
@given(value=values)
def test_encoding_twice_and_decoding_twice(value, same):
    plain, arrays = encode_json(value)
    twice, none = encode_json(plain)
    assert not none
    tensors = unpack_tensors(pack_tensors(arrays))
    assert same(value, decode_json(decode_json(twice, {}), tensors))


def test_conversions_that_are_documented():
    value = {"t": (1, 2), "s": np.float32(0.5), "i": np.int8(3), "b": np.bool_(True)}
    back = round_trip(OrderedDict(value))
    assert back == {"t": [1, 2], "s": 0.5, "i": 3, "b": True}
    assert [type(item) for item in back.values()] == [list, float, int, bool]
    assert type(round_trip(np.str_("x"))) is str
    assert math.isnan(round_trip(np.float32("nan")))
    assert round_trip(np.arange(2, dtype=">i4")).dtype == "int32"


def test_registry_of_scvi_tools(same):
    registry = {
        "scvi_version": "1.4.2",
        "setup_args": {"layer": None, "batch_key": "cohort", "target_keys": None},
        "field_registries": {
            "X": {
                "data_registry": {"attr_name": "X", "attr_key": None},
                "state_registry": {
                    "n_obs": 3,
                    "n_vars": 2,
                    "column_names": np.array(["TP53", "EGFR"], dtype=object),
                },
                "summary_stats": {"n_vars": 2, "n_cells": np.int64(3)},
            },
            "labels": {
                "state_registry": {
                    "categorical_mapping": np.array(["BRCA", 3, None], dtype=object),
                    "unlabeled_category": "Unknown",
                },
            },
        },
    }
    back = round_trip(registry)
    registry["field_registries"]["X"]["summary_stats"]["n_cells"] = 3
    assert same(registry, back)


class Foreign:
    pass


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"a": [{"b": Foreign()}]}, r"metadata\['a'\]\[0\]\['b'\] has type .*Foreign"),
        ({1: 2}, "key 1 of type int"),
        ({("a", "b"): 2}, "of type tuple"),
        ({1, 2}, "builtins.set"),
        (b"bytes", "builtins.bytes"),
        (1j, "builtins.complex"),
        (2**5000, "integer of 5001 bits"),
        (np.array([1j]), "dtype complex128"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
        (np.array([(1, 2)], dtype=[("a", int), ("b", int)]), "dtype"),
        (np.ma.masked_array([1, 2], mask=[0, 1]), "masked array"),
        (np.array([Foreign()], dtype=object), "item of type Foreign"),
        (np.array([[1], "a"], dtype=object), "item of type list"),
        (np.array([["a"], ["b"]]), "of dtype <U1 and 2 dimensions"),
        (np.array([1], dtype=np.longdouble), "of dtype .*128"),
    ],
)
def test_refused_values(value, match):
    with pytest.raises(InputError, match=match):
        encode_json(value)


def test_value_that_contains_itself():
    value = []
    value.append(value)
    with pytest.raises(InputError, match="deeper than 50"):
        encode_json(value)


@pytest.mark.parametrize(
    "damaged",
    [
        {"__float__": "1.5"},
        {"__float__": 3},
        {"__float__": None},
        {"__dict__": [1]},
        {"__ndarray__": 3},
        {"__ndarray__": None},
        {"__ndarray__": {"dtype": "int64", "shape": [1], "data": [1]}},
        {"__ndarray__": ["metadata/0"] * 2 + [["metadata/0"]]},
        {"__ndarray__": [{"__ndarray__": "metadata/0"}]},
        {"__ndarray__": [{"__float__": "x"}]},
        {"__ndarray__": [{"__dict__": {}}]},
        {"__ndarray__": "metadata/1"},
        {"__ndarray__": "half"},
    ],
    ids=str,
)
def test_damaged_tags(damaged):
    tensors = {"metadata/0": torch.zeros(1), "half": torch.zeros(1, dtype=torch.bfloat16)}
    with pytest.raises(ModelFileError, match="Model metadata is damaged"):
        decode_json({"outer": [damaged]}, tensors)


def test_each_array_is_handed_out_once():
    tensors = {"metadata/0": torch.arange(2), "other": torch.zeros(1)}
    assert decode_json([{"__ndarray__": "metadata/0"}], tensors)[0].tolist() == [0, 1]
    assert list(tensors) == ["other"]
    with pytest.raises(ModelFileError, match="no array 'metadata/0'"):
        decode_json([{"__ndarray__": "metadata/0"}], tensors)


def test_arrays_of_text_come_back_as_objects():
    array = np.array(["ab", ""], dtype="<U9")
    back = round_trip(array)
    assert back.dtype == object
    assert back.tolist() == ["ab", ""]
