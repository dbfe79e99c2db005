"""Metadata as JSON."""

from __future__ import annotations

import json
import math
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from domainvi.errors import InputError, ModelFileError
from domainvi.io._codec import decode_json, encode_json

scalars = st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.floats() | st.text()
arrays = hnp.arrays(
    st.sampled_from(["bool", "int8", "uint64", "int64", "float16", "float32", "float64", "<U4"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
).map(lambda array: array.astype(f"<U{longest(array)}") if array.dtype.kind == "U" else array)
object_arrays = st.lists(scalars, max_size=5).map(
    lambda items: np.fromiter(items, dtype=object, count=len(items))
)
keys = st.text(max_size=5) | st.sampled_from(["__float__", "__ndarray__", "__dict__"])
values = st.recursive(
    scalars | arrays | object_arrays,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(keys, children, max_size=4),
    max_leaves=12,
)


def longest(array):
    """Width that an array of text is stored with."""
    return max([1, *map(len, array.reshape(-1).tolist())])


@settings(max_examples=200, deadline=None)
@given(value=values)
def test_every_value_round_trips_through_json_text(value, same):
    text = json.dumps(encode_json(value), allow_nan=False)
    assert same(value, decode_json(json.loads(text)))


@settings(max_examples=50, deadline=None)
@given(value=values)
def test_encoding_twice_and_decoding_twice(value, same):
    assert same(value, decode_json(decode_json(encode_json(encode_json(value)))))


def test_conversions_that_are_documented():
    value = {"t": (1, 2), "s": np.float32(0.5), "i": np.int8(3), "b": np.bool_(True)}
    back = decode_json(encode_json(OrderedDict(value)))
    assert back == {"t": [1, 2], "s": 0.5, "i": 3, "b": True}
    assert [type(item) for item in back.values()] == [list, float, int, bool]
    assert type(decode_json(encode_json(np.str_("x")))) is str
    assert math.isnan(decode_json(encode_json(np.float32("nan"))))
    assert encode_json(np.arange(2, dtype=">i4"))["__ndarray__"]["dtype"] == "int32"


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
    back = decode_json(encode_json(registry))
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
        (np.broadcast_to(np.int8(0), (2**29,)), "Pass it as a tensor"),
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


def array(dtype="int64", shape=(1,), data=(1,)):
    return {"__ndarray__": {"dtype": dtype, "shape": list(shape), "data": list(data)}}


@pytest.mark.parametrize(
    "damaged",
    [
        {"__float__": "1.5"},
        {"__float__": 3},
        {"__float__": None},
        {"__dict__": [1]},
        {"__ndarray__": 3},
        {"__ndarray__": {"dtype": "int64", "shape": [1]}},
        array(dtype="complex128"),
        array(dtype="O"),
        array(dtype=["int64"]),
        array(dtype="datetime64[D]"),
        array(dtype="str"),
        array(dtype="str999999999", data=["a"]),
        array(dtype="str100000000", shape=(3,), data=["a", "", ""]),
        array(dtype="str60000000", shape=(2,), data=["a", ""]),
        array(dtype="str1", data=["ab"]),
        array(dtype="str3", data=["ab"]),
        array(dtype="str2", shape=(0,), data=()),
        array(shape=(2,)),
        array(shape=(-1,)),
        array(shape=(True,)),
        array(shape=(1.0,)),
        array(shape=(1,) * 17),
        array(shape=(0, 2**62, 2**62), data=()),
        array(shape=(0, 2**20, 2**20), data=()),
        array(data=["1"]),
        array(data=[True]),
        array(data=[1.5]),
        array(data=[2**70]),
        array(dtype="uint8", data=[-1]),
        array(dtype="uint8", data=[300]),
        array(dtype="bool", data=[1]),
        array(dtype="float32", data=[1e300]),
        array(dtype="float64", data=[{"__float__": "x"}]),
        array(dtype="float64", data=[{"__dict__": {}}]),
        array(dtype="object", data=[[1]]),
        array(dtype="object", data=[array()]),
    ],
    ids=str,
)
def test_damaged_tags(damaged):
    with pytest.raises(ModelFileError, match="Model metadata is damaged"):
        decode_json({"outer": [damaged]})


def test_memory_of_all_arrays_together_is_bounded():
    wide = array(dtype="str40000000", shape=(1,), data=["x" * 40_000_000])
    assert decode_json([wide])[0].nbytes == 160_000_000
    with pytest.raises(ModelFileError, match="its arrays exceed 268435456 bytes"):
        decode_json([wide, wide])
    text = np.array(["x" * 40_000_000])
    with pytest.raises(InputError, match="all arrays of metadata together may take 268435456"):
        encode_json([text, text])


def test_text_is_stored_with_the_width_of_its_longest_item():
    assert encode_json(np.array(["ab", ""], dtype="<U9"))["__ndarray__"]["dtype"] == "str2"
    assert decode_json(encode_json(np.array([], dtype="<U9"))).dtype == "<U1"
