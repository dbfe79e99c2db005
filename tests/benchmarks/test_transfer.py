"""The transfer benchmark: what is drawn, what a row says, and what an interruption costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from benchmarks.transfer import __main__ as command
from benchmarks.transfer import runner, stress
from benchmarks.transfer.draws import draw_share
from benchmarks.transfer.tasks import loco_tasks, select_tasks, table_tasks
from benchmarks.transfer.units import Unit, build_unit

if TYPE_CHECKING:
    from pathlib import Path


def unit(folder: Path, version: str = "plain", budget: str = "0", seed: int = 0) -> Unit:
    return build_unit(folder, table_tasks(folder)[0], version, budget, seed)


def test_budget_zero_scores_every_patient_that_is_not_in_the_source(data_folder: Path) -> None:
    built = unit(data_folder)
    assert built.adata.n_obs == 320
    assert built.is_source.sum() == 200
    # Both rows of the one patient who is in both cohorts are left out.
    assert built.scored.sum() == 118
    assert np.all(built.label[~built.is_source] == -1)
    assert set(built.adata.obs["label"][~built.is_source]) == {"Unknown"}
    np.testing.assert_array_equal(built.label[built.is_source], built.truth[built.is_source])


def test_budgets_are_nested_and_patients_stay_on_one_side(data_folder: Path) -> None:
    small, large = (unit(data_folder, budget=budget) for budget in ("2", "5"))
    shown = [set(np.flatnonzero(u.label >= 0)) for u in (small, large)]
    assert shown[0] < shown[1]
    np.testing.assert_array_equal(
        np.bincount(large.label[(large.label >= 0) & ~large.is_source]), 5
    )
    patient = np.array([int(name[1:]) // 2 for name in large.adata.obs_names])
    assert not set(patient[large.label >= 0]) & set(patient[large.scored])
    assert not np.any(large.scored & (large.label >= 0))


def test_draw_depends_on_the_seed_alone(data_folder: Path) -> None:
    first = unit(data_folder, budget="5").label
    build_unit.cache_clear()
    np.testing.assert_array_equal(first, unit(data_folder, budget="5").label)
    assert np.any(first != unit(data_folder, budget="5", seed=1).label)
    np.testing.assert_array_equal(first, unit(data_folder, "noise00", "5").label)


def test_percentages_score_one_half(data_folder: Path) -> None:
    few, all_ = (unit(data_folder, budget=budget) for budget in ("1%", "100%"))
    np.testing.assert_array_equal(few.scored, all_.scored)
    assert abs(all_.scored.sum() - 60) <= 6
    assert ((few.label >= 0) & ~few.is_source).sum() == 3


@pytest.mark.parametrize("name", stress.STRESSES)
def test_stress_leaves_every_invariant(data_folder: Path, name: str) -> None:
    built = unit(data_folder, name, "2")
    assert built.scored.sum() >= 10
    assert not np.any(built.scored & built.is_source)
    assert np.all(built.label[built.scored] == -1)
    assert len(built.label) == built.adata.n_obs == len(built.truth)


def test_label_shift_cuts_one_class_and_keeps_the_labels(data_folder: Path) -> None:
    plain, cut = (unit(data_folder, name, "5") for name in ("plain", "label_shift"))
    before = np.bincount(plain.truth[plain.scored], minlength=3)
    after = np.bincount(cut.truth[cut.scored], minlength=3)
    assert np.sum(after < 0.35 * before) == 1
    assert (cut.label >= 0).sum() == (plain.label >= 0).sum()


def test_dirichlet_halves_the_target(data_folder: Path) -> None:
    target = ~unit(data_folder, "dirichlet").is_source
    assert 20 <= target.sum() <= 75


def test_missing_class_is_missing_from_the_target_only(data_folder: Path) -> None:
    built = unit(data_folder, "missing_class", "2")
    assert len(np.unique(built.truth[~built.is_source])) == 2
    assert len(np.unique(built.label[built.is_source])) == 3


@pytest.mark.parametrize(("name", "n_wrong"), [("noise05", 10), ("noise20", 40)])
def test_noise_changes_that_many_source_labels(data_folder: Path, name: str, n_wrong: int) -> None:
    built = unit(data_folder, name)
    source = built.is_source
    assert np.sum(built.label[source] != built.truth[source]) == n_wrong


@pytest.mark.parametrize(("name", "n_rows"), [("small30", 30), ("small60", 60)])
def test_small_targets(data_folder: Path, name: str, n_rows: int) -> None:
    target = ~unit(data_folder, name, "1").is_source
    assert target.sum() == n_rows
    rare = stress.target_rows(name, np.array([0] * 500 + [1] * 4), 0)
    assert rare[500:].sum() >= 3


def test_the_composition_of_the_target_is_what_it_is_called(data_folder: Path) -> None:
    def share(name: str, seed: int) -> np.ndarray:
        built = unit(data_folder, name, seed=seed)
        return np.bincount(built.truth[built.scored], minlength=3) / built.scored.sum()

    assert [share("one_class", seed).argmax() for seed in range(3)] == [0, 1, 2]
    assert share("one_class", 1).max() == 1
    assert (share("two_classes", 0) > 0).sum() == 2
    assert share("ninety_ten", 2)[2] == pytest.approx(0.9, abs=0.04)


def test_genes_are_cut_to_a_panel(data_folder: Path) -> None:
    assert unit(data_folder, "genes100").adata.n_vars == 100
    assert len(stress.genes("genes100", 72, 0)) == 72


def test_each_cohort_with_two_shared_classes_is_left_out_once(data_folder: Path) -> None:
    tasks = loco_tasks(data_folder)
    assert [task.target for task in tasks] == ["a", "b", "c", "d", "e"]
    assert tasks[0].sources == ("b", "c", "d", "e")
    assert tasks[0].classes == ("x", "y", "z")
    assert tasks[4].classes == ("x", "y")


def test_tasks_are_found_by_name_family_and_set(data_folder: Path) -> None:
    names = {key: [t.name for t in select_tasks(data_folder, [key])] for key in ("all", "second")}
    assert names == {"all": ["ac_to_b", "b_to_d"], "second": ["b_to_d"]}
    assert len(select_tasks(data_folder, ["loco"])) == 5
    with pytest.raises(ValueError, match="'nothing'"):
        select_tasks(data_folder, ["nothing"])


def test_interrupted_run_resumes_where_it_stopped(data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    arguments = ["--data", str(data_folder), "--out", str(out), "--seeds", "0", "1"]
    arguments += ["--methods", "lr_z", "majority", "--budgets", "0", "2"]
    assert command.main(arguments) == 0
    whole = pd.read_csv(out)
    assert len(whole) == 16
    assert whole[whole["method"] == "lr_z"]["macro_f1"].min() > 0.8
    assert tuple(whole.columns) == runner.COLUMNS

    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:6]) + lines[6][:11])
    assert command.main(arguments) == 0
    resumed = pd.read_csv(out)
    pd.testing.assert_frame_equal(
        resumed.drop(columns="seconds"), whole.drop(columns="seconds"), check_like=True
    )
    assert "".join(lines[:6]) == "".join(out.read_text().splitlines(keepends=True)[:6])


def test_failing_method_does_not_end_the_run(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(unit: Unit, seed: int) -> np.ndarray:
        msg = "no"
        raise RuntimeError(msg)

    monkeypatch.setitem(runner.METHODS, "lr_z", fail)
    tasks = table_tasks(data_folder)[:1]
    jobs = runner.plan(tasks, ["plain"], ["lr_z", "majority"], ["0"], [0])
    assert runner.run(data_folder, jobs, tmp_path / "r.csv") == 1
    assert pd.read_csv(tmp_path / "r.csv")["method"].tolist() == ["majority"]


def test_grid_of_the_seed_paper() -> None:
    grid = command.SEED_PAPER_GRID
    assert grid[:2] == ["1%", "2%"]
    assert grid[18:22] == ["19%", "20%", "25%", "30%"]
    assert grid[-1] == "100%"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["scanvi", "scanvi_adversarial", "domainvi", "network"])
def test_networks_return_probabilities(
    data_folder: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.transfer.methods._SCANVI_STEPS", 6)
    built = unit(data_folder, budget="2")
    probabilities = runner.METHODS[method](built, 0)
    assert probabilities.shape == (320, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)


def test_share_scores_the_same_half_whatever_is_shown() -> None:
    label, groups = np.arange(200) % 4, np.arange(200) // 2
    draws = [
        draw_share(label, np.arange(200), groups, share, np.random.default_rng(1))
        for share in (0.01, 0.07, 1.0)
    ]
    for draw in draws[1:]:
        np.testing.assert_array_equal(draw.scored, draws[0].scored)
    assert set(draws[0].shown) < set(draws[1].shown) < set(draws[2].shown)
    assert len(draws[0].shown) == 4
    assert len(draws[2].shown) + len(draws[2].scored) == 200
    assert abs(len(draws[2].scored) - 100) <= 4
