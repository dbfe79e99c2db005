"""Modules under any names."""

import pytest
from torch import nn

from domainvi.module._modalities import NamedModules, inner_name

NAMES = ["rna", "rna.v1", "type", "%74ype", "keys", "training", "_modules", "50%", "rna%2Ev1", "é "]


def test_any_names_come_back_and_never_meet():
    parts = NamedModules({name: nn.Linear(1, i + 1) for i, name in enumerate(NAMES)})
    assert list(parts) == list(parts.keys()) == NAMES
    assert len({inner_name(name) for name in NAMES}) == len(NAMES)
    for i, (name, part) in enumerate(parts.items()):
        assert part is parts[name]
        assert part.out_features == i + 1
        assert name in parts
    assert "pop" not in parts
    assert set(parts.state_dict()) == {
        f"{inner_name(name)}.{w}" for name in NAMES for w in ("weight", "bias")
    }
    del parts["type"]
    assert "type" not in parts
    with pytest.raises(KeyError):
        parts["type"]


def test_usual_names_stay_as_they_are():
    for name in ("rna", "prot_1", "a-b", "miRNA seq"):
        assert inner_name(name) == name
