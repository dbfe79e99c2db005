"""The command line, in this process and, where it matters, as a process of its own."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from tests.processes import MINUTE, PIPE, run_to_end, started

import domainvi as dv
from domainvi.cli import main
from domainvi.cli._files import write
from domainvi.cli._fit import accelerator, epoch_report
from domainvi.cli._main import BAD_INPUT, INTERRUPTED, SUCCESS
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = ["--labels", "label", "--batch", "cohort"]
QUICK = [*KEYS, "--max-epochs", "1", "--device", "cpu"]


@pytest.fixture
def ref(make_adata: Callable[..., ad.AnnData]) -> ad.AnnData:
    adata = make_adata()
    return adata[adata.obs["cohort"] == "x"].copy()


@pytest.fixture
def query(make_adata: Callable[..., ad.AnnData]) -> ad.AnnData:
    """The other cohort: fewer genes in another order, its labels known, no cohort column."""
    adata = make_adata()
    adata = adata[adata.obs["cohort"] == "y", adata.var_names[[*range(18, 0, -1)]]].copy()
    adata.obs["label"] = adata.obs["truth"]
    adata.obs = adata.obs.drop(columns=["cohort", "truth"])
    return adata


@pytest.fixture
def folder(tmp_path: Path, ref: ad.AnnData, query: ad.AnnData) -> Path:
    """A folder with a reference, a query, and both in one file; its name is no plain ASCII."""
    folder = tmp_path / "Daten für DomainVI"
    folder.mkdir()
    ref.write_h5ad(folder / "ref é.h5ad")
    query.write_h5ad(folder / "query ü.h5ad")
    both = ad.concat({"x": ref, "y": query}, label="cohort")
    both.write_h5ad(folder / "both.h5ad")
    return folder


def transfer(folder: Path, *more: str, query: str = "query ü.h5ad") -> int:
    files = [str(folder / "ref é.h5ad"), str(folder / query)]
    return main(["transfer", *files, "-o", str(folder / "out ñ.h5ad"), *QUICK, *more])


def train(folder: Path, *more: str) -> int:
    return main(["train", str(folder / "both.h5ad"), "-o", str(folder / "model"), *QUICK, *more])


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("demo", ["--out", "--seed", "--device", "--max-epochs"]),
        (
            "transfer",
            ["REF", "QUERY", "--labels", "--batch", "--output", "-o", "--layer", "--seed"]
            + ["--device", "--max-epochs", "--unknown-alpha", "--unlabeled", "--force"]
            + ["--checkpoints", "--resume", "--coarse-labels", "--level-confidence"]
            + ["--set-alpha", "--classes"],
        ),
        (
            "train",
            ["REF", "--labels", "--batch", "-o", "--layer", "--seed", "--device", "--max-epochs"]
            + ["--force", "--checkpoints", "--resume"],
        ),
        (
            "annotate",
            ["MODEL", "DATA", "-o", "--unknown-alpha", "--set-alpha", "--classes", "--force"],
        ),
        ("audit", ["DATA", "--batch", "--labels", "--coarse-labels", "--layer"]),
        ("suggest", ["DATA", "--batch", "--labels", "--output", "-n", "--seed", "--force"]),
        (
            "benchmark",
            [
                "DATA",
                "--batch",
                "--labels",
                "-o",
                "--protocol",
                "--methods",
                "--groups",
                "--budgets",
            ]
            + ["--splits", "--seeds", "--figure", "--layer", "--device", "--max-epochs", "--force"],
        ),
        (
            "report",
            ["MODEL", "DATA", "-o", "--truth", "--genes", "--set-alpha", "--classes", "--force"],
        ),
        (
            "explain",
            ["MODEL", "DATA", "-o", "--method", "--baseline", "--target", "--groupby", "--force"],
        ),
    ],
)
def test_help_names_every_option(command: str, options: list[str], capsys) -> None:
    assert main([command, "--help"]) == SUCCESS
    shown = capsys.readouterr()
    assert [name for name in options if name not in shown.out] == []
    assert shown.err == ""


def test_help_lists_the_commands(capsys) -> None:
    assert main([]) == SUCCESS
    out = capsys.readouterr().out
    commands = ("demo", "transfer", "train", "annotate", "audit", "benchmark", "explain", "report")
    assert [c for c in commands if c not in out] == []


def test_version(capsys) -> None:
    assert main(["--version"]) == SUCCESS
    assert capsys.readouterr().out.strip() == dv.__version__


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from domainvi.cli import main; status = main(['transfer', '--help']);"
        "heavy = {'torch', 'scvi', 'scanpy', 'numpy', 'pandas'} & set(sys.modules);"
        "sys.exit(f'{status} {heavy}' if status or heavy else 0)"
    )
    done = run_to_end([sys.executable, "-c", code])
    assert (done.returncode, done.stderr) == (0, "")


# --- transfer -------------------------------------------------------------------------------------


def test_transfer_annotates_the_query_and_touches_nothing_else(
    folder: Path, query: ad.AnnData, capsys
) -> None:
    assert transfer(folder) == SUCCESS
    out = ad.read_h5ad(folder / "out ñ.h5ad")
    added = {"label_pred", "label_conf", "label_unknown"}
    assert set(out.obs) - set(query.obs) == added
    assert set(out.obsm) == {"X_domainvi", "label_prob"}
    assert set(out.uns) == {"domainvi"}
    np.testing.assert_array_equal(out.X, query.X)
    pd.testing.assert_frame_equal(out.obs[query.obs.columns], query.obs)
    pd.testing.assert_index_equal(out.var_names, query.var_names)
    assert (out.obs["label_pred"] == out.obs["label"]).mean() > 0.95
    assert sorted(p.name for p in folder.iterdir()) == [
        "both.h5ad",
        "out ñ.h5ad",
        "query ü.h5ad",
        "ref é.h5ad",
    ]


def test_transfer_reports_results_on_stdout_and_progress_on_stderr(folder: Path, capsys) -> None:
    transfer(folder)
    shown = capsys.readouterr()
    assert "genes: 18 shared by name; the query lacks 2 of the reference's" in shown.out
    assert "cohorts: x (reference); query ü (query)" in shown.out
    assert "audit: Conditional only" in shown.out
    assert re.search(r"60 labels, which were not used: macro-F1 (0\.9\d+|1\.000)", shown.out)
    assert "training: epoch 1/1, loss" in shown.err
    assert "training" not in shown.out


def test_transfer_does_not_use_labels_of_the_query(folder: Path, query: ad.AnnData) -> None:
    transfer(folder)
    expected = ad.read_h5ad(folder / "out ñ.h5ad").obsm["label_prob"]
    query.obs["label"] = query.obs["label"].to_numpy()[::-1]
    query.write_h5ad(folder / "query ü.h5ad")
    transfer(folder, "--force")
    swapped = ad.read_h5ad(folder / "out ñ.h5ad")
    np.testing.assert_array_equal(swapped.obsm["label_prob"], expected)


def test_transfer_uses_labels_of_the_query_on_request(
    folder: Path, query: ad.AnnData, capsys
) -> None:
    assert transfer(folder) == SUCCESS
    assert "(to use them: --use-query-labels)" in capsys.readouterr().out
    without = ad.read_h5ad(folder / "out ñ.h5ad").obsm["label_prob"]
    few = query.obs["label"].astype(object)
    few.iloc[20:] = "Unknown"
    few.iloc[:6] = "new"
    query.obs["label"] = few.to_numpy()
    query.write_h5ad(folder / "query ü.h5ad")
    assert transfer(folder, "--force", "--use-query-labels") == SUCCESS
    shown = capsys.readouterr()
    assert "labels of the query: 20, used in training" in shown.out
    assert "agreement" not in shown.out
    assert "taken as one cohort" not in shown.err
    out = ad.read_h5ad(folder / "out ñ.h5ad")
    assert out.uns["domainvi"]["classes"].tolist() == ["a", "b", "new"]
    assert np.abs(out.obsm["label_prob"][:, :2] - without).max() > 0.01
    del query.obs["label"]
    query.write_h5ad(folder / "query ü.h5ad")
    assert transfer(folder, "--force", "--use-query-labels") == BAD_INPUT
    assert "query ü.h5ad: labels_key='label' is not a column" in capsys.readouterr().err


def test_transfer_keeps_order_and_colours_of_the_reference(folder: Path, ref: ad.AnnData) -> None:
    ref.obs["label"] = ref.obs["label"].cat.reorder_categories(["b", "a"])
    ref.uns["label_colors"] = ["#111111", "#222222"]
    ref.write_h5ad(folder / "ref é.h5ad")
    assert transfer(folder, "--unknown-alpha", "1") == SUCCESS
    out = ad.read_h5ad(folder / "out ñ.h5ad")
    assert out.uns["domainvi"]["classes"].tolist() == ["b", "a"]
    assert list(out.uns["label_pred_colors"][:2]) == ["#111111", "#222222"]
    assert (out.obs["label_pred"] == "Unknown").all()


def test_transfer_of_labels_on_two_levels(
    folder: Path, ref: ad.AnnData, query: ad.AnnData, capsys
) -> None:
    ref.obs["broad"] = ref.obs["label"].astype(str).map({"a": "all", "b": "all"})
    ref.write_h5ad(folder / "ref é.h5ad")
    assert transfer(folder, "--coarse-labels", "broad", "--level-confidence", "1") == SUCCESS
    said = capsys.readouterr().out
    assert "predicted broad of 60 rows:" in said
    assert "rows named by broad" in said
    written = ad.read_h5ad(folder / "out ñ.h5ad")
    assert (written.obs["broad_pred"] == "all").all()
    assert set(written.obs["label_pred"]) <= {"all", "a", "b"}
    shutil.move(folder / "out ñ.h5ad", folder / "again.h5ad")
    assert transfer(folder, query="again.h5ad") == SUCCESS
    again = ad.read_h5ad(folder / "out ñ.h5ad")
    assert [name for name in (*again.obs, *again.obsm, *again.uns) if "broad_" in name] == []
    assert "label_level" not in again.obs
    levels = ("--coarse-labels", "broad", "--force")
    assert transfer(folder, *levels, "--use-query-labels") == SUCCESS
    assert "60, used in training" in capsys.readouterr().out
    assert transfer(folder, "--coarse-labels", "brood", "--force") == BAD_INPUT
    assert "'brood' is not a column" in capsys.readouterr().err
    query.obs["label_level"] = "mine"
    query.write_h5ad(folder / "query ü.h5ad")
    assert transfer(folder, "--coarse-labels", "broad", "--force") == BAD_INPUT
    assert "obs has 'label_level' already" in capsys.readouterr().err
    query.obs["broad_pred"] = "mine"
    query.write_h5ad(folder / "query ü.h5ad")
    assert transfer(folder, "--coarse-labels", "broad", "--force") == BAD_INPUT
    assert "obs has 'broad_pred' already" in capsys.readouterr().err


def test_a_transfer_on_what_one_has_written_replaces_its_results_alone(
    with_targets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = with_targets, with_targets / "out ñ.h5ad"
    words = ["--targets", "sex", "--set-alpha", "0.1"]
    assert transfer(folder, *words) == SUCCESS
    assert "label_set" in ad.read_h5ad(out).obs
    for more in ([], ["--targets", "sex"]):
        out.replace(folder / "again.h5ad")
        assert transfer(folder, *more, query="again.h5ad") == SUCCESS, capsys.readouterr().err
        written = ad.read_h5ad(out)
        assert "label_set" not in written.obs
        assert {"label_pred", "sex_pred"} <= {*written.uns["domainvi"]["columns"]}
        assert "sex_pred" in written.obs


def test_transfer_keeps_the_cohorts_of_the_query(folder: Path, query: ad.AnnData, capsys) -> None:
    query.obs["cohort"] = np.where(np.arange(query.n_obs) % 2, "y1", "x")
    query.write_h5ad(folder / "query ü.h5ad")
    assert transfer(folder) == SUCCESS
    shown = capsys.readouterr()
    assert "cohorts: x (reference); x, y1 (query)" in shown.out
    assert "warning: taken as one cohort, since both files name it: x" in shown.err


def test_transfer_reads_a_layer_and_repeats_itself(
    folder: Path, ref: ad.AnnData, query: ad.AnnData
) -> None:
    transfer(folder)
    expected = ad.read_h5ad(folder / "out ñ.h5ad").obsm["X_domainvi"]
    for name, adata in (("ref é", ref), ("query ü", query)):
        adata.layers["log"] = adata.X.copy()
        adata.X = np.zeros_like(adata.X)
        adata.write_h5ad(folder / f"{name}.h5ad")
    transfer(folder, "--force", "--layer", "log")
    again = ad.read_h5ad(folder / "out ñ.h5ad").obsm["X_domainvi"]
    np.testing.assert_array_equal(again, expected)
    transfer(folder, "--force", "--layer", "log", "--seed", "1")
    other = ad.read_h5ad(folder / "out ñ.h5ad").obsm["X_domainvi"]
    assert np.abs(other - expected).max() > 0.01


# --- train, annotate, audit -----------------------------------------------------------------------


def test_train_then_annotate_is_what_the_model_predicts(folder: Path, capsys) -> None:
    assert train(folder) == SUCCESS
    assert "classes: a, b\ncohorts: x, y\n" in capsys.readouterr().out
    out = folder / "annotated.h5ad"
    assert main(["annotate", str(folder / "model"), str(folder / "both.h5ad"), "-o", str(out)]) == 0
    adata = ad.read_h5ad(out)
    model = dv.DomainVI.load(folder / "model")
    assert adata.obs["label_pred"].tolist() == model.predict(adata).tolist()
    assert "predicted label of 120 rows:" in capsys.readouterr().out


def test_annotate_takes_a_cohort_that_was_not_in_training(folder: Path, capsys) -> None:
    train(folder)
    out = folder / "annotated.h5ad"
    model, query = str(folder / "model"), str(folder / "query ü.h5ad")
    assert main(["annotate", model, query, "-o", str(out)]) == SUCCESS
    assert "was not in training" in capsys.readouterr().err
    adata = ad.read_h5ad(out)
    assert (adata.obs["label_pred"] == adata.obs["label"]).mean() > 0.95


def test_annotate_refuses_another_scale(folder: Path, make_adata, capsys) -> None:
    make_adata(counts=True).write_h5ad(folder / "both.h5ad")
    assert train(folder) == SUCCESS
    files = [str(folder / "model"), str(folder / "query ü.h5ad")]
    assert main(["annotate", *files, "-o", str(folder / "out.h5ad")]) == BAD_INPUT
    said = capsys.readouterr().err
    assert "needs counts" in said
    assert "The model was trained on counts. Put those of adata where it reads" in said
    assert "likelihood='normal'" not in said
    assert "layer=" not in said


def test_audit_says_verdict_and_table(folder: Path, capsys) -> None:
    assert main(["audit", str(folder / "both.h5ad"), *KEYS]) == SUCCESS
    out = capsys.readouterr().out
    assert "verdict: alignment allowed" in out
    assert re.search(r"a +30 +30\n", out)


# --- benchmark ------------------------------------------------------------------------------------


def benchmark(folder: Path, *more: str, labels: str = "label") -> int:
    data, table = str(folder / "both.h5ad"), str(folder / "table.csv")
    keys = ["--labels", labels, "--batch", "cohort", "--splits", "2"]
    return main(["benchmark", data, "-o", table, *keys, *more])


def test_benchmark_writes_table_and_figure_and_says_the_means(folder: Path, capsys) -> None:
    figure = folder / "figure.png"
    methods = ["--methods", "logistic_regression_z", "linear_svm"]
    assert benchmark(folder, *methods, "--figure", str(figure), "--seeds", "0", "1") == SUCCESS
    table = pd.read_csv(folder / "table.csv")
    assert table.groupby("protocol").size().to_dict() == {
        "cross_validation": 2 * 2 * 3,
        "leave_one_domain_out": 2 * 2 * 3,
    }
    assert figure.stat().st_size > 10_000
    shown = capsys.readouterr()
    means = table.pivot_table(index="protocol", columns="method", values="macro_f1")
    for protocol, row in means.iterrows():
        figures = row[["logistic_regression_z", "linear_svm", "majority"]]
        expected = r" +".join([str(protocol), *(f"{value:.3f}" for value in figures)])
        assert re.search(expected, shown.out)
    assert "written: " in shown.out
    assert "x held out: linear_svm, seed 1" in shown.err


def test_benchmark_takes_numbers_and_budgets(folder: Path, capsys) -> None:
    adata = ad.read_h5ad(folder / "both.h5ad")
    adata.obs["age"] = adata.X[:, 0] * 10.0
    adata.write_h5ad(folder / "both.h5ad")
    budgets = ["--protocol", "label_budget", "--budgets", "0", "3"]
    assert benchmark(folder, "--methods", "ridge_z", *budgets, labels="age") == SUCCESS
    out = capsys.readouterr().out
    assert out.startswith("R2, mean over held-out parts and seeds:\n")
    assert re.search(r"label_budget 3 +0\.\d{3} +-\d\.\d{3}", out)
    arguments = ["--target", "age", "--methods", "domainvi", "ridge_z", "--max-epochs", "2"]
    assert benchmark(folder, *arguments, *budgets, "--force") == SUCCESS
    table = pd.read_csv(folder / "table.csv")
    assert table["method"].value_counts().to_dict() == {"domainvi": 4, "ridge_z": 4, "mean": 4}


def test_benchmark_trains_the_model(folder: Path) -> None:
    one = ["--protocol", "leave_one_domain_out", "--methods", "domainvi"]
    assert benchmark(folder, *one, "--max-epochs", "1", "--device", "cpu") == SUCCESS
    table = pd.read_csv(folder / "table.csv")
    assert table["method"].tolist() == ["domainvi", "majority"] * 2
    assert table["macro_f1"].iloc[0] > 0.9


def test_report_is_written_for_a_saved_model_and_for_a_transfer(folder: Path, capsys) -> None:
    train(folder)
    page = folder / "report.html"
    files = [str(folder / "model"), str(folder / "both.h5ad"), "-o", str(page), "--genes", "0"]
    assert main(["report", *files, "--truth", "label"]) == SUCCESS
    text = page.read_text(encoding="utf-8")
    assert "120 rows with the name of one whose label taught the model" in text
    assert "macro-F1" not in text
    query = ad.read_h5ad(folder / "query ü.h5ad")
    query.obs_names = "new" + query.obs_names
    query.write_h5ad(folder / "new.h5ad")
    new = [files[0], str(folder / "new.h5ad"), *files[2:], "--force", "--truth", "label"]
    assert main(["report", *new]) == SUCCESS
    text = page.read_text(encoding="utf-8")
    assert "<dt>rows with a true label</dt><dd>60</dd>" in text
    assert "macro-F1" in text
    assert main(["report", *files]) == BAD_INPUT
    assert "--force" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == text
    assert transfer(folder, "--report", str(folder / "transfer.html")) == SUCCESS
    assert "<html" in (folder / "transfer.html").read_text(encoding="utf-8")


def test_explain_writes_what_the_model_says(folder: Path, capsys) -> None:
    train(folder)
    files = [str(folder / "model"), str(folder / "both.h5ad"), "-o", str(folder / "genes.csv")]
    capsys.readouterr()
    assert main(["explain", *files]) == SUCCESS
    genes = pd.read_csv(folder / "genes.csv", index_col="gene")
    both = ad.read_h5ad(folder / "both.h5ad")
    expected = dv.DomainVI.load(folder / "model").explain(adata=both)
    pd.testing.assert_frame_equal(genes, expected, check_names=False, check_exact=False, rtol=1e-6)
    out = capsys.readouterr().out
    low = expected.attrs["low"]["a"]
    top = [f"{g} (low)" if g in low else g for g in expected["a"].nlargest(5).index]
    assert f"a (60 rows): {', '.join(top)}\n" in out
    assert main(["explain", *files]) == BAD_INPUT
    assert "--force" in capsys.readouterr().err
    assert main(["explain", *files, "--force", "--groupby", "cohort"]) == SUCCESS
    assert list(pd.read_csv(folder / "genes.csv", index_col="gene")) == ["x", "y"]


def test_train_resumes_from_its_checkpoints(folder: Path, capsys) -> None:
    checkpoints = ["--checkpoints", str(folder / "Zwischenstände ß")]
    assert train(folder, *checkpoints, "--resume") == SUCCESS
    model = dv.DomainVI.load(folder / "model")
    assert train(folder, *checkpoints, "--force") == BAD_INPUT
    assert "holds a checkpoint already. Pass resume=True (--resume)" in capsys.readouterr().err
    assert train(folder, *checkpoints, "--force", "--resume") == SUCCESS
    assert "Going on from the checkpoint in" in capsys.readouterr().err
    again = dv.DomainVI.load(folder / "model").module.state_dict()
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, again[name])


# --- outputs --------------------------------------------------------------------------------------


def test_an_output_is_replaced_only_when_told(folder: Path, capsys) -> None:
    (folder / "out ñ.h5ad").write_text("mine")
    (folder / "model").mkdir()
    for run in (transfer, train):
        assert run(folder) == BAD_INPUT
        assert "exists already. Pass --force" in capsys.readouterr().err
    assert (folder / "out ñ.h5ad").read_text() == "mine"
    assert transfer(folder, "--force") == SUCCESS
    assert ad.read_h5ad(folder / "out ñ.h5ad").n_obs == 60


def test_columns_that_h5ad_cannot_hold_are_written_as_text(
    tmp_path: Path, query: ad.AnnData, capsys
) -> None:
    adata = query[:4].copy()
    for name, values in {
        "smoker": [True, None, False, np.nan],
        "when": pd.to_datetime(["2020-02-01"] * 4),
        "part": pd.Categorical([1, "a", None, "a"]),
        "nothing": [None] * 4,
        "mark": ["b", None, "a", "b"],
    }.items():
        adata.obs[name] = pd.Series(values, index=adata.obs_names)
    write(adata, tmp_path / "out.h5ad")
    found = ad.read_h5ad(tmp_path / "out.h5ad").obs
    assert found["smoker"].astype(object).fillna("").tolist() == ["True", "", "False", ""]
    assert found["when"].cat.categories[0].startswith("2020-02-01")
    assert found["part"].cat.categories.tolist() == ["1", "a"]
    assert found["nothing"].isna().all()
    told = "'smoker' (boolean), 'when' (datetime64), 'part' (mixed-integer), 'nothing' (empty)\n"
    assert capsys.readouterr().err.endswith(f"h5ad cannot hold are written as text: {told}")


def test_a_folder_that_no_model_can_be_written_to_is_noticed_before_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("domainvi.cli._train.fit", lambda *_: pytest.fail("it is trained"))
    (folder / "other").mkdir()
    (folder / "other" / "notes.txt").write_text("mine")
    (folder / "link").symlink_to(folder / "other")
    for name, message in (("other", "holds 1 other files"), ("link", "is a symbolic link")):
        words = ["train", str(folder / "both.h5ad"), "-o", str(folder / name), "--force"]
        assert main([*words, *QUICK]) == BAD_INPUT
        assert message in capsys.readouterr().err


def test_folders_of_models_may_be_given_by_two_dots(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    places = ["-o", "../model", "--checkpoints", "../checkpoints"]
    assert main(["train", "../both.h5ad", *places, *QUICK]) == SUCCESS
    out = ["../query ü.h5ad", "--force", "-o"]
    assert main(["annotate", "../model", *out, "../out.h5ad"]) == SUCCESS
    assert main(["report", "../model", *out, "../out.html", "--genes", "0"]) == SUCCESS
    assert main(["explain", "../model", *out, "../out.csv"]) == SUCCESS
    monkeypatch.chdir(folder / "model")
    assert main(["annotate", "../../Daten für DomainVI/model", *out, "../out.h5ad"]) == SUCCESS


def test_suggest_needs_no_training_to_find_every_row_labelled(folder: Path, capsys) -> None:
    words = ["suggest", str(folder / "both.h5ad"), "-o", str(folder / "next.csv"), *QUICK]
    assert main(words) == BAD_INPUT
    err = capsys.readouterr().err
    assert "both.h5ad: All 120 rows have a label" in err
    assert "epoch" not in err


def test_an_interrupt_while_writing_leaves_what_was_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (folder / "out ñ.h5ad").write_text("mine")
    before = sorted(folder.iterdir())

    def half(_adata: ad.AnnData, path: Path, **_: object) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(ad.AnnData, "write_h5ad", half)
    assert transfer(folder, "--force") == INTERRUPTED
    assert capsys.readouterr().err.endswith("domainvi: interrupted\n")
    assert (folder / "out ñ.h5ad").read_text() == "mine"
    assert sorted(folder.iterdir()) == before


def test_a_full_disk_leaves_what_was_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (folder / "out ñ.h5ad").write_text("mine")
    before = sorted(folder.iterdir())

    def half(_adata: ad.AnnData, path: Path, **_: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ad.AnnData, "write_h5ad", half)
    assert transfer(folder, "--force") == BAD_INPUT
    assert "cannot be written: No space left on device. Free some" in capsys.readouterr().err
    assert (folder / "out ñ.h5ad").read_text() == "mine"
    assert sorted(folder.iterdir()) == before


def test_a_folder_without_permission_is_noticed_before_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("domainvi.cli._files.os.access", lambda *_: False)
    assert transfer(folder) == BAD_INPUT
    shown = capsys.readouterr()
    assert "cannot be written to. Write elsewhere." in shown.err
    assert "training" not in shown.err


ONE_FILE_TWICE = {
    "transfer": ["{ref}", "{query}", "-o", "{new}", "--report", "{new}", *QUICK],
    "transfer, by a link": ["{ref}", "{query}", "-o", "{new}", "--report", "{link}", *QUICK],
    "transfer, report over the query": ["{ref}", "{query}", "-o", "{new}", "--report", "{query}"]
    + QUICK,
    "transfer, checkpoints": ["{ref}", "{query}", "-o", "{new}", "--checkpoints", "{new}", *QUICK],
    "train": ["{both}", "-o", "{both}", *QUICK],
    "train, checkpoints": ["{both}", "-o", "{new}", "--checkpoints", "{new}", *QUICK],
    "train, checkpoints within": ["{both}", "-o", "{new}", "--checkpoints", "{new}/c", *QUICK],
    "train over the folder of the data": ["{both}", "-o", "{folder}", *QUICK],
    "benchmark": ["{both}", "-o", "{png}", "--figure", "{png}", *KEYS],
    "annotate": ["{folder}", "{query}", "-o", "{folder}"],
    "report": ["{folder}", "{query}", "-o", "{query}"],
    "explain": ["{folder}", "{query}", "-o", "{folder}"],
}


@pytest.mark.parametrize("case", ONE_FILE_TWICE)
def test_one_file_is_not_used_twice(case: str, folder: Path, capsys) -> None:
    (folder / "link.h5ad").symlink_to(folder / "new.h5ad")
    names = {n: str(folder / f"{n}.h5ad") for n in ("both", "new", "link")}
    names |= {"ref": str(folder / "ref é.h5ad"), "query": str(folder / "query ü.h5ad")}
    names |= {"png": str(folder / "new.png"), "folder": str(folder)}
    before = sorted(folder.iterdir())
    arguments = [a.format(**names) for a in ONE_FILE_TWICE[case]]
    assert main([case.split(",")[0].split()[0], *arguments, "--force"]) == BAD_INPUT
    assert "is also read by this command, or written twice" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


# --- bad input ------------------------------------------------------------------------------------

BAD = {
    "no such file": (["transfer", "{ref}", "nope.h5ad", "-o", "{out}", *QUICK], "nope.h5ad does"),
    "no h5ad": (["audit", "{text}", *KEYS], "cannot be read as csv"),
    "a folder": (["audit", "{folder}", *KEYS], "is a folder"),
    "no such column": (
        ["transfer", "{ref}", "{query}", "-o", "{out}", "--labels", "lable", "--batch", "cohort"],
        "ref é.h5ad: labels_key='lable' is not a column of adata.obs. Did you mean 'label'?",
    ),
    "resume from nowhere": (
        ["train", "{ref}", "-o", "{out}", "--resume", *KEYS],
        "--resume needs --checkpoints",
    ),
    "reference twice": (
        ["transfer", "{ref}", "{ref}", "-o", "{out}", *QUICK],
        "ref é.h5ad stands twice among the files",
    ),
    "one cohort in both files": (
        ["transfer", "{ref}", "{same}", "-o", "{out}", *QUICK],
        "All rows of reference and query are of one cohort, 'x'",
    ),
    "few genes": (["transfer", "{ref}", "{few}", "-o", "{out}", *QUICK], "3 of the 20 reference"),
    "NaN": (["transfer", "{ref}", "{nan}", "-o", "{out}", *QUICK], "nan.h5ad: adata.X has 1"),
    "counts and logs": (
        ["transfer", "{ref}", "{counts}", "-o", "{out}", *QUICK],
        "The reference holds values that are no counts and the query counts",
    ),
    "no model": (["annotate", "{folder}", "{query}", "-o", "{out}"], "model"),
    "no such protocol": (
        ["benchmark", "{ref}", "-o", "{folder}/out.csv", *KEYS, "--protocol", "loo"],
        "protocol='loo'; expected one or more of leave_one_domain_out",
    ),
    "no such method": (
        ["benchmark", "{both}", "-o", "{folder}/out.csv", *KEYS, "--methods", "svm"],
        "both.h5ad: methods=('svm',)",
    ),
    "no figure format": (
        ["benchmark", "{both}", "-o", "{folder}/out.csv", *KEYS, "--figure", "figure.doc"],
        "--figure figure.doc: expected a name that ends in png, pdf or svg",
    ),
    "no folder for the output": (
        ["transfer", "{ref}", "{query}", "-o", "nope/out.h5ad", *QUICK],
        "the folder nope does not exist",
    ),
    "output over the reference": (
        ["transfer", "{ref}", "{query}", "-o", "{ref}", "--force", *QUICK],
        "is also read by this command",
    ),
    "no such device": (["demo", "--out", "{folder}", "--device", "tpu"], "--device 'tpu'"),
    "no such option": (["demo", "--sede", "1"], "Unknown option: --sede. Did you mean --seed?"),
    "no such command": (["transfre"], 'Did you mean "transfer"?'),
    "missing argument": (["transfer", "{ref}", "-o", "{out}", *QUICK], "QUERY"),
    "missing option": (["transfer", "{ref}", "{query}", *KEYS], "--output"),
    "not a number": (["demo", "--seed", "one"], "--seed"),
    "no epochs": (["demo", "--max-epochs", "0"], "--max-epochs"),
    "no probability": (
        ["annotate", "{folder}", "{query}", "-o", "{out}", "--unknown-alpha", "2"],
        "--unknown-alpha",
    ),
    "no share": (
        ["annotate", "{folder}", "{query}", "-o", "{out}", "--set-alpha", "1"],
        "--set-alpha",
    ),
    "few labels for sets": (
        ["transfer", "{ref}", "{query}", *KEYS, "-o", "{out}", "--set-alpha", "0.01"],
        "--set-alpha 0.01 needs 99 labelled rows, and the reference has 60",
    ),
    "a class that is none": (
        ["transfer", "{ref}", "{query}", *KEYS, "-o", "{out}", "--classes", "a", "z"],
        "--classes has 'z'; the reference's 2 classes are a, b",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(
    case: str, folder: Path, query: ad.AnnData, make_adata, capsys
) -> None:
    (folder / "text.h5ad").write_text("no h5ad")
    query[:, :3].write_h5ad(folder / "few.h5ad")
    broken = query.copy()
    broken.X[3, 4] = np.nan
    broken.write_h5ad(folder / "nan.h5ad")
    counts = make_adata(counts=True)
    counts.obs["cohort"] = "z"
    counts.write_h5ad(folder / "counts.h5ad")
    shutil.copy(folder / "ref é.h5ad", folder / "same.h5ad")
    names = ("text", "few", "nan", "counts", "same", "both", "out")
    files = {name: str(folder / f"{name}.h5ad") for name in names}
    files |= {"ref": str(folder / "ref é.h5ad"), "query": str(folder / "query ü.h5ad")}
    before = sorted(folder.iterdir())
    arguments, message = BAD[case]

    status = main([a.format(folder=folder, **files) for a in arguments])

    err = capsys.readouterr().err
    assert status == BAD_INPUT
    assert err.startswith("domainvi: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(folder.iterdir()) == before


def test_faults_of_our_own_are_not_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("domainvi.tl.audit_confounding", fault)
    with pytest.raises(ZeroDivisionError):
        main(["audit", str(folder / "both.h5ad"), *KEYS])


# --- parts ----------------------------------------------------------------------------------------


def test_device_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert accelerator("auto") == {"accelerator": "auto", "devices": "auto"}
    assert accelerator("cpu") == {"accelerator": "cpu", "devices": 1}
    assert accelerator("cuda") == {"accelerator": "gpu", "devices": [0]}
    assert accelerator("cuda:1") == {"accelerator": "gpu", "devices": [1]}
    with pytest.raises(InputError, match="has 2 usable CUDA GPUs"):
        accelerator("cuda:2")
    with pytest.raises(InputError, match="not known"):
        accelerator("cuda:x")
    with pytest.raises(InputError, match="not known"):
        accelerator("cpu:1")


class _Trainer:
    max_epochs = 40

    def __init__(self, epoch: int) -> None:
        self.current_epoch = epoch
        self.callback_metrics = {"train_loss": 1.5}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (io.StringIO(), "training: epoch 2/40, loss 1.50\ntraining: epoch 3/40, loss 1.50\n"),
        (
            _Terminal(),
            "".join(f"\r\x1b[2Ktraining: epoch {i}/40, loss 1.50" for i in (1, 2, 3)) + "\n",
        ),
    ],
)
def test_progress_is_in_place_on_a_terminal_and_brief_in_a_file(
    stream: io.StringIO, expected: str
) -> None:
    report = epoch_report(stream)
    for epoch in range(3):
        report.on_train_epoch_start(_Trainer(epoch), None)
    report.on_train_end(_Trainer(3), None)
    assert stream.getvalue() == expected


# --- whole runs -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_demo_as_a_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "domainvi", "demo", "--max-epochs", "2", "--out", "Demo ö"]
    done = run_to_end(command, cwd=tmp_path)
    assert done.returncode == SUCCESS, done.stderr
    assert "audit: Conditional only" in done.stdout
    figures = re.findall(r"^  (.+?) +(\d\.\d{3}) +(\d\.\d{3})$", done.stdout, re.MULTILINE)
    f1 = {name: float(value) for name, value, _ in figures}
    assert f1["logistic regression, each cohort standardised"] == pytest.approx(0.870, abs=0.002)
    assert f1["logistic regression, scaled by the reference"] == pytest.approx(0.665, abs=0.002)
    assert f1["DomainVI"] > 0.9
    assert "guard: Views of the target" in done.stdout
    out = tmp_path / "Demo ö"
    assert sorted(p.name for p in out.iterdir()) == ["demo.h5ad", "demo_umap.png"]
    adata = ad.read_h5ad(out / "demo.h5ad")
    added = {"cancer_type_pred", "cancer_type_conf", "cancer_type_unknown"}
    assert added <= set(adata.obs)
    assert {"X_domainvi", "cancer_type_prob"} <= set(adata.obsm)
    assert "domainvi" in adata.uns
    hidden = adata.obs["cohort"] == "rnaseq"
    assert (adata.obs.loc[hidden, "cancer_type"] == "Unknown").all()
    assert (out / "demo_umap.png").stat().st_size > 20_000


@pytest.mark.slow
def test_a_console_without_the_letter_is_no_reason_to_fail(folder: Path) -> None:
    command = [sys.executable, "-m", "domainvi", "audit", str(folder / "both.h5ad"), *KEYS]
    done = run_to_end(command, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == SUCCESS, done.stderr
    assert "Cram\\xe9r's V" in done.stdout


@pytest.mark.slow
def test_an_interrupted_process_ends_with_130_and_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "domainvi", "demo", "--max-epochs", "100"]
    with started(command, 4 * MINUTE, stderr=PIPE, cwd=tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("training: epoch")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == INTERRUPTED
    assert rest.endswith("domainvi: interrupted\n")
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


# --- auxiliary phenotypes -------------------------------------------------------------------------


@pytest.fixture
def with_targets(folder: Path) -> Path:
    """The same folder; the reference has a sex and an age, of which some are missing."""
    rng = np.random.default_rng(0)
    for name in ("ref é.h5ad", "both.h5ad"):
        adata = ad.read_h5ad(folder / name)
        sex = np.where(adata.X[:, 0] > np.median(adata.X[:, 0]), "male", "female").astype(object)
        sex[:5] = None
        adata.obs["sex"] = pd.Categorical(sex, ["male", "female"])
        adata.obs["age"] = np.where(rng.random(adata.n_obs) < 0.9, rng.uniform(20, 80), np.nan)
        adata.obs["age"] += adata.X[:, 1]
        adata.write_h5ad(folder / name)
    return folder


def test_transfer_writes_further_phenotypes(
    with_targets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transfer(with_targets, "--targets", "sex", "age", "--force") == SUCCESS
    out = ad.read_h5ad(with_targets / "out ñ.h5ad")
    assert set(out.obs) >= {"sex_pred", "sex_conf", "sex_unknown", "age_pred", "age_conf"}
    assert "sex_prob" in out.obsm
    assert list(out.obs["sex_pred"].cat.categories) == ["male", "female"]
    assert not {"sex", "age"} & set(out.obs)
    said = capsys.readouterr().out
    assert "predicted sex of 60 rows" in said
    assert "predicted age of 60 rows" in said


def test_train_and_annotate_further_phenotypes(with_targets: Path) -> None:
    assert train(with_targets, "--targets", "sex", "age") == SUCCESS
    model, query = str(with_targets / "model"), str(with_targets / "query ü.h5ad")
    out = with_targets / "out.h5ad"
    assert main(["annotate", model, query, "-o", str(out)]) == SUCCESS
    assert set(ad.read_h5ad(out).obs) >= {"label_pred", "sex_pred", "age_pred", "age_conf"}
    some = ["--targets", "age", "--force"]
    assert main(["annotate", model, query, "-o", str(out), *some]) == SUCCESS
    assert "age_pred" in ad.read_h5ad(out).obs
    assert "sex_pred" not in ad.read_h5ad(out).obs


def test_bad_targets_end_with_one_line(
    with_targets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transfer(with_targets, "--targets", "bmi") == BAD_INPUT
    assert "target_keys='bmi' is not a column" in capsys.readouterr().err
    assert transfer(with_targets, "--targets", "label") == BAD_INPUT
    assert "'label' is given 2 times" in capsys.readouterr().err
    assert train(with_targets, "--targets", "sex") == SUCCESS
    query, out = str(with_targets / "query ü.h5ad"), str(with_targets / "o.h5ad")
    capsys.readouterr()
    arguments = ["annotate", str(with_targets / "model"), query, "-o", out, "--targets", "age"]
    assert main(arguments) == BAD_INPUT
    assert "'age' is not a target of this model; it has sex" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_train_is_resumed_to_the_same_model(folder: Path) -> None:
    command = [sys.executable, "-m", "domainvi", "train", str(folder / "both.h5ad"), *KEYS]
    command += ["--max-epochs", "40", "--device", "cpu"]

    def model(name: str, *more: str) -> list[str]:
        return [*command, "-o", str(folder / name), *more]

    run_to_end(model("whole"), check=True)
    resumed = model("model ü", "--checkpoints", str(folder / "c"), "--resume")
    with started(resumed, 4 * MINUTE, stderr=PIPE) as process:
        assert process.stderr is not None
        while "epoch 4/40" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == INTERRUPTED
    assert re.search(r"Training was interrupted\. The model has the weights of epoch \d+", rest)
    assert not (folder / "model ü").exists()
    done = run_to_end(resumed, check=True)
    assert "Going on from the checkpoint" in done.stderr
    assert "epoch 2/40" not in done.stderr  # of epoch 4 the checkpoint may be missing
    state = dv.DomainVI.load(folder / "whole").module.state_dict()
    found = dv.DomainVI.load(folder / "model ü").module.state_dict()
    assert [name for name, value in state.items() if not torch.equal(value, found[name])] == []
