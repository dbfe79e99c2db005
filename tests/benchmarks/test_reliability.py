"""Bins of confidence against rows counted by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from benchmarks.transfer import percent, reliability
from benchmarks.transfer.tasks import select_tasks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def table() -> pd.DataFrame:
    """A large task that is right at .9 and a small one that is wrong, for each panel."""
    rows = [
        (task, method, budget, confidence, count, right)
        for method in reliability.COMPARED
        for budget in reliability.BUDGETS
        for task, confidence, count, right in (
            ("large", 0.9, 90, 81),
            ("large", 0.5, 10, 10),
            ("small", 0.88, 4, 1),
        )
    ]
    return pd.DataFrame(rows, columns=["task", "method", "budget", "confidence", "count", "right"])


def test_error_is_the_mean_over_tasks(table: pd.DataFrame) -> None:
    errors = reliability.calibration_errors(table)
    # Large: nothing at .9, a gap of .5 on a tenth of the rows. Small: .88 against .25.
    assert errors["domainvi", "0"] == pytest.approx((0.1 * 0.5 + 0.63) / 2)


def test_tasks_weigh_the_same_whatever_their_size(table: pd.DataFrame) -> None:
    part = table[(table["method"] == "lr_z") & (table["budget"] == "5")]
    pooled = reliability.pool(part)
    assert pooled.index.tolist() == [5, 9]
    assert pooled.loc[9, "accuracy"] == pytest.approx((0.9 * 0.9 + 1 * 0.25) / 1.9)
    assert pooled["rows"].tolist() == pytest.approx([0.05, 0.95])


def test_each_budget_has_a_diagram(table: pd.DataFrame) -> None:
    figure = reliability.draw(table)
    diagrams = figure.axes[:2]
    assert [d.get_title() for d in diagrams] == [
        f"{budget} labels of each class shown" for budget in reliability.BUDGETS
    ]
    for diagram in diagrams:
        _, ours, peer = diagram.lines
        np.testing.assert_allclose(ours.get_xydata(), peer.get_xydata())
        np.testing.assert_allclose(ours.get_ydata(), [1, (0.81 + 0.25) / 1.9])
        assert diagram.get_legend().texts[0].get_text() == "domainvi, ECE 0.340"


def test_rows_of_a_task_are_counted(data_folder: Path) -> None:
    (task,) = select_tasks(data_folder, ["b_to_d"])
    found = reliability.bins(data_folder, task, "lr_z", "0")
    n_scored = 60 - 15  # classes x and y of cohort d
    assert found["count"].sum() == n_scored
    assert (found["right"] <= found["count"]).all()
    assert found["confidence"].between(0.5, 1).all()
    assert set(found["task"]) == {"b_to_d"}


def test_percentages_are_in_order_and_counts_are_left_out() -> None:
    rows = [
        ("t", "f", "plain", method, budget, seed, f1)
        for method, f1 in (("domainvi", 0.9), ("lr_z", 0.8))
        for budget in ("100%", "1%", "20%", "5")
        for seed in (0, 1)
    ]
    names = ["task", "family", "stress", "method", "budget", "seed", "macro_f1"]
    table = pd.DataFrame(rows, columns=names)
    table.loc[table["seed"] == 1, "macro_f1"] -= 0.2
    curves = percent.curves(table)
    assert curves.columns.tolist() == [1, 20, 100]
    np.testing.assert_allclose(curves.loc["domainvi"], 0.8)
    axes = percent.draw(table[table["budget"] != "5"]).axes[0]
    assert [line.get_label() for line in axes.lines] == ["domainvi", "lr_z"]
    np.testing.assert_allclose(axes.lines[1].get_ydata(), 70)
