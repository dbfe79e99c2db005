"""The pretraining benchmark: what is drawn, what is judged, and what an interruption costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from benchmarks.pretraining import __main__ as command
from benchmarks.pretraining import summary, tasks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def small_task(monkeypatch: pytest.MonkeyPatch) -> tasks.Task:
    task = tasks.Task("five", "five", "cohort", "label", "reported")
    monkeypatch.setitem(tasks.TASKS, "five", task)
    return task


def test_patients_are_on_one_side(data_folder: Path, small_task: tasks.Task) -> None:
    pool, test = tasks.read(data_folder, small_task.file)
    assert not set(pool.obs["patient"]) & set(test.obs["patient"])
    assert pool.n_obs + test.n_obs == 400


def test_draws_are_nested_and_show_what_they_say(data_folder: Path, small_task: tasks.Task) -> None:
    pool, _ = tasks.read(data_folder, small_task.file)
    label = tasks.names(pool, "label")
    small, large = (tasks.draw(label, n, 3) for n in (2, 5))
    assert set(small) < set(large)
    shown = tasks.with_labels(pool, small_task, large).obs["target"]
    assert shown[shown != tasks.UNLABELED].value_counts().tolist() == [5, 5, 5]
    once = tasks.with_labels(pool, small_task, tasks.draw(label, 1, 0))
    assert once.n_obs == pool.n_obs + 3
    assert once.obs["target"].value_counts().loc[["x", "y", "z"]].tolist() == [2, 2, 2]


def test_run_is_resumed_and_summarised(
    data_folder: Path, small_task: tasks.Task, tmp_path: Path
) -> None:
    arguments = ["--data", str(data_folder), "--tasks", "five", "--out", str(tmp_path)]
    arguments += ["--models", str(tmp_path / "models"), "--seeds", "0", "--budgets", "20"]
    arguments += ["--methods", "lr", "lr_pca", "probe_none", "network_none"]
    assert command.main(arguments) == 0
    path = tmp_path / "results.csv"
    whole = path.read_text()
    table = pd.read_csv(path)
    assert table["method"].tolist() == ["lr", "lr_pca", "probe_none", "network_none"]
    assert table.set_index("method")["macro_f1"]["lr"] > 0.5
    path.write_text(whole[: whole.rindex("probe_none") + 3])
    assert command.main(arguments) == 0
    columns = ["method", "macro_f1"]
    pd.testing.assert_frame_equal(pd.read_csv(path)[columns], table[columns])
    assert "| lr |" in (tmp_path / "summary.md").read_text()


def test_verdict_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(method: str, values: dict[int, tuple[float, float]]) -> list[dict[str, object]]:
        return [
            {"task": "t", "method": method, "budget": b, "seed": s, "macro_f1": f1}
            for b, pair in values.items()
            for s, f1 in enumerate(pair)
        ]

    records = rows("probe_none", {1: (0.5, 0.5), 5: (0.6, 0.6), 20: (0.9, 0.9)})
    records += rows("probe_scarf", {1: (0.5, 0.56), 5: (0.6, 0.6), 20: (0.89, 0.89)})
    records += rows("probe_vime", {1: (0.7, 0.7), 5: (0.7, 0.7), 20: (0.88, 0.88)})
    records += rows("probe_byol", {1: (0.52, 0.52), 5: (0.62, 0.62), 20: (0.9, 0.9)})
    gain = summary.gains(pd.DataFrame(records))
    scarf = gain[gain["scheme"] == "scarf"].set_index("budget")
    np.testing.assert_allclose(scarf["gain"], [0.03, 0.0, -0.01], atol=1e-12)
    assert scarf.loc[1, "error"] == pytest.approx(0.03)
    assert set(summary.verdicts(gain)["verdict"]) == {"undecided: too few draws"}
    monkeypatch.setattr(summary, "MIN_DRAWS", 2)
    verdict = summary.verdicts(gain)["verdict"]
    assert verdict["scarf", "probe"] == "recommended"  # 1 of 2 at few labels, loses just 1 point
    assert verdict["vime", "probe"] == "not recommended"  # loses 2 points at 20
    assert verdict["byol", "probe"] == "not recommended"  # gains 2 points, not 3
