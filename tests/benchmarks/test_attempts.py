"""What the attempts start from is what the model does, and losses are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from benchmarks.transfer import attempts
from benchmarks.transfer.resampling import training_rows, values
from benchmarks.transfer.tasks import select_tasks
from benchmarks.transfer.units import build_unit

from domainvi.linear import fit_linear_ensemble

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("budget", ["0", "1", "5"])
def test_as_it_is_is_the_linear_part(data_folder: Path, budget: str) -> None:
    unit = build_unit(data_folder, select_tasks(data_folder, ["b_to_d"])[0], "plain", budget, 0)
    rows = training_rows(unit, values(unit))
    found = attempts.attempts(rows)["as it is"]
    found /= found.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, fit_linear_ensemble(rows).probs, atol=1e-6)


def test_a_tenth_of_each_source_class_is_hidden(data_folder: Path) -> None:
    unit = build_unit(data_folder, select_tasks(data_folder, ["ac_to_b"])[0], "plain", "5", 0)
    hidden = (attempts.thinned(unit, 0) < 0) & (unit.label >= 0)
    assert unit.is_source[hidden].all()
    before = np.bincount(unit.label[unit.is_source])
    assert np.bincount(unit.label[hidden]).tolist() == (before // 10).tolist()


def test_a_loss_is_more_than_two_points() -> None:
    scores = {"lr_z": [0.9, 0.9], "as it is": [0.885, 0.875]}
    rows = [
        ("task", "plain", "5", seed, name, score)
        for name, both in scores.items()
        for seed, score in enumerate(both)
    ]
    text = attempts.summarise(pd.DataFrame(rows, columns=[*attempts.KEYS, "variant", "macro_f1"]))
    assert "| as it is | 88.0 |" in text
    assert "| as it is | 50.0 |" in text
    assert "| as it is | -0.5 |" in text
    assert "| lr_z | 0.0 |" in text
