"""The summary against figures worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from benchmarks.transfer import summary, tables
from benchmarks.transfer.families import choose, family_means

if TYPE_CHECKING:
    from pathlib import Path


def rows(values: dict[tuple[str, str, str], list[float]], stress: str = "plain") -> pd.DataFrame:
    """One row for each seed of (method, family, task)."""
    records = [
        {"method": method, "family": family, "task": task, "seed": seed, "macro_f1": f1}
        for (method, family, task), scores in values.items()
        for seed, f1 in enumerate(scores)
    ]
    table = pd.DataFrame(records).assign(stress=stress, budget="0")
    for score in ("balanced_accuracy", "accuracy", "worst_recall", "ece", "nll", "seconds"):
        table[score] = table["macro_f1"]
    return table


@pytest.fixture
def table() -> pd.DataFrame:
    return rows(
        {
            ("lr_z", "f", "t1"): [0.8, 0.6],
            ("lr_z", "f", "t2"): [0.5, 0.5],
            ("lr_z", "g", "t3"): [0.9, 0.9],
            ("domainvi", "f", "t1"): [0.9, 0.57],
            ("domainvi", "f", "t2"): [0.6, 0.6],
            ("domainvi", "g", "t3"): [0.7, 0.9],
            ("scanvi", "f", "t1"): [1.0, 1.0],
        }
    )


def test_means_over_tasks_and_over_families(table: pd.DataFrame) -> None:
    by_task = tables.method_means(table, "macro_f1")["0"]
    assert by_task["lr_z"] == pytest.approx((0.7 + 0.5 + 0.9) / 3)
    by_family = tables.method_means(table, "macro_f1", by_family=True)["0"]
    assert by_family["lr_z"] == pytest.approx((0.6 + 0.9) / 2)
    assert by_task.index.tolist() == ["domainvi", "lr_z"]


def test_negative_transfer_counts_tasks_and_seeds(table: pd.DataFrame) -> None:
    rate = tables.negative_transfer(table, "lr_z", 0.02)["0"]
    assert rate.to_dict() == {"domainvi": pytest.approx(2 / 6)}
    assert tables.negative_transfer(table, "lr_z", 0.05)["0"]["domainvi"] == pytest.approx(1 / 6)
    assert tables.negative_transfer(table, "nobody", 0.02).empty


def test_worst_seed_is_that_of_the_worst_task(table: pd.DataFrame) -> None:
    worst = tables.worst_seed(table)["0"]
    assert worst["domainvi"] == pytest.approx((0.57 - 0.9) / 2)
    assert worst["lr_z"] == pytest.approx(-0.1)


def test_choice_is_scored_on_the_family_that_had_no_part_in_it() -> None:
    figures = {"f": (0.9, 0.5), "g": (0.9, 0.5), "h": (0.1, 0.8)}
    values = {
        (method, family, family + "1"): [figures[family][column]]
        for family in figures
        for column, method in enumerate(("bold", "meek"))
    }
    choice = choose(rows(values))
    # Without f: bold .5, meek .65. Without g: the same. Without h: bold .9, meek .5.
    assert choice.left_out["method"].to_dict() == {"f": "meek", "g": "meek", "h": "bold"}
    assert choice.left_out_mean == pytest.approx((0.5 + 0.5 + 0.1) / 3)
    assert choice.in_sample == "bold"
    assert choice.in_sample_mean == pytest.approx(1.9 / 3)


def test_choice_needs_two_families() -> None:
    with pytest.raises(ValueError, match="1 families"):
        choose(rows({("a", "f", "t"): [0.5], ("b", "f", "t"): [0.6]}))


def test_families_weigh_the_same_and_need_every_method(table: pd.DataFrame) -> None:
    means = family_means(table[table["method"] != "scanvi"])
    assert means.loc["f", "lr_z"] == pytest.approx(0.6)
    assert family_means(table).loc["f", "lr_z"] == pytest.approx(0.7)


def test_budgets_are_in_order_of_size() -> None:
    table = rows({("lr_z", "f", "t"): [0.5]})
    grid = pd.concat([table.assign(budget=budget) for budget in ("10", "2", "0", "20", "1")])
    assert tables.method_means(grid, "macro_f1").columns.tolist() == ["0", "1", "2", "10", "20"]


def test_markdown_is_a_table() -> None:
    frame = pd.DataFrame({"0": [0.123, np.nan]}, index=pd.Index(["a", "b"], name="method"))
    assert tables.to_markdown(frame) == "| method | 0 |\n|---|---:|\n| a | 12.3 |\n| b |  |\n"


def test_command_writes_the_page_and_the_figure(table: pd.DataFrame, tmp_path: Path) -> None:
    shifted = rows({("lr_z", "f", "t1"): [0.3], ("lr_source", "f", "t1"): [0.2]}, "label_shift")
    pd.concat([table, shifted]).to_csv(tmp_path / "results.csv", index=False)
    arguments = ["--results", str(tmp_path / "results.csv"), "--out", str(tmp_path)]
    assert summary.main(arguments) == 0
    page = (tmp_path / "summary.md").read_text()
    assert "| domainvi | 71.2 |" in page
    assert "Stress `label_shift`" in page
    assert "| lr_source | 20.0 |" in page
    assert (tmp_path / "summary.png").read_bytes().startswith(b"\x89PNG")
