"""Results as one JSON document, and completion: what programs and shells read of the commands."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.processes import run_to_end

import domainvi as dv
from domainvi.cli import main
from domainvi.cli._results import Results
from domainvi.cli._summary import _say_classes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = ["--labels", "label", "--batch", "cohort"]
QUICK = [*KEYS, "--max-epochs", "1", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path: Path, make_adata: Callable[..., ad.AnnData]) -> Path:
    adata = make_adata()
    adata.obs["age"] = adata.X[:, 0] * 10.0
    adata.write_h5ad(tmp_path / "both.h5ad")
    adata[adata.obs["cohort"] == "x"].write_h5ad(tmp_path / "ref.h5ad")
    query = adata[adata.obs["cohort"] == "y"].copy()
    query.obs["label"] = query.obs["truth"]
    query.write_h5ad(tmp_path / "query.h5ad")
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> Callable[..., Any]:
    """Run a command in the folder; return its document."""
    monkeypatch.chdir(folder)

    def command(*words: str) -> Any:
        capsys.readouterr()
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return command


def test_audit(run: Callable[..., Any]) -> None:
    found = run("audit", "query.h5ad", "--labels", "label", "--batch", "truth")
    assert found["verdict"] == "refused"
    assert found["table"]["a"] == {"a": 30, "b": 0}
    assert found["n_unlabelled"] == [0, 0]
    assert run("audit", "both.h5ad", *KEYS)["cramers_v"] is None  # one labelled cohort: no number


def test_train_and_what_reads_its_model(run: Callable[..., Any], folder: Path) -> None:
    trained = run("train", "both.h5ad", "-o", "model", *QUICK, "--targets", "age")
    assert trained["audit"]["verdict"] == "conditional only"
    assert trained["alignment"] == "as set up"
    assert (trained["classes"], trained["cohorts"]) == (["a", "b"], ["x", "y"])
    assert trained["written"] == ["model"]

    said = run("annotate", "model", "query.h5ad", "-o", "out.h5ad")
    out = ad.read_h5ad(folder / "out.h5ad").obs
    counts = out["label_pred"].value_counts()
    classes = said["predictions"]["label"]["classes"]
    assert {name: row["rows"] for name, row in classes.items()} == counts.to_dict()
    mean = out.loc[out["label_pred"] == "a", "label_conf"].mean()
    assert classes["a"]["mean_confidence"] == pytest.approx(mean)
    unknown = said["predictions"]["label"]["fit_no_known_class"]
    assert "rows" not in unknown
    assert unknown["found"] == (out["label_unknown"] <= 0.05).sum()
    assert unknown["by_chance"] == pytest.approx(0.05 * len(out))
    assert 0 <= unknown["share"] < 0.5
    assert (unknown["discoveries"], unknown["p_value"]) == (0, None)
    assert said["predictions"]["age"]["90 %"] == pytest.approx(out["age_pred"].quantile(0.9))
    assert said["written"] == ["out.h5ad"]

    genes = run("explain", "model", "query.h5ad", "-o", "genes.csv")["genes"]
    table = pd.read_csv(folder / "genes.csv", index_col="gene")
    assert genes["a"].keys() == {"rows", "top", "low"}
    assert genes["a"]["rows"] == counts["a"]
    assert genes["a"]["top"] == table["a"].nlargest(5).index.tolist()
    report = run("report", "model", "query.h5ad", "-o", "report.html", "--genes", "0")
    assert report == {"written": ["report.html"]}


def test_transfer(run: Callable[..., Any], folder: Path) -> None:
    files = ["ref.h5ad", "query.h5ad", "-o", "out.h5ad", "--report", "report.html"]
    said = run("transfer", *files, *QUICK, "--set-alpha", "0.1", "--classes", "a")
    written = ad.read_h5ad(folder / "out.h5ad")
    assert (written.obs["label_pred"] == "a").all()
    assert (written.obs["label_set"] == "a").all()
    assert said["prediction_sets"]["mean_size"] == 1.0
    assert "not promised for y" in said["prediction_sets"]["promise"]
    assert said["prediction_sets"] == written.uns["domainvi"]["prediction_sets"]
    assert "Prediction sets" in (folder / "report.html").read_text("utf-8")
    said = run("transfer", *files, *QUICK, "--force")
    both = {"genes", "rows", "cohorts", "audit", "alignment", "predictions", "agreement", "written"}
    assert set(said) == both | {"cautions", "notes"}
    assert said["genes"] == {"shared": 20, "missing": 0, "others": 0}
    assert said["rows"] == {"reference": 60, "query": 60}
    assert said["cohorts"] == {"reference": ["x"], "query": ["y"]}
    assert said["agreement"]["rows"] == 60
    assert said["agreement"]["accuracy"] > 0.95
    assert said["cautions"] == []
    assert said["written"] == ["out.h5ad", "report.html"]


def test_own_labels_are_compared_by_common_names_and_at_the_finest_level(
    run: Callable[..., Any], folder: Path
) -> None:
    ref = ad.read_h5ad(folder / "ref.h5ad")
    ref.obs["broad"] = "all"
    ref.write_h5ad(folder / "ref.h5ad")
    (folder / "names.csv").write_text("label,name\na,A\nb,B\n")
    files = ["ref.h5ad", "query.h5ad", "-o", "out.h5ad", *QUICK, "--label-map", "names.csv"]
    said = run("transfer", *files, "--coarse-labels", "broad", "--level-confidence", "1")
    assert said["predictions"]["label"]["levels"] == {"broad": 1.0, "label": 0.0}
    assert said["agreement"].items() >= {"rows": 60, "level": "label"}.items()
    assert said["agreement"]["accuracy"] > 0.95


def test_suggest(run: Callable[..., Any], folder: Path) -> None:
    said = run("suggest", "both.h5ad", *QUICK, "-n", "6", "-o", "next.csv")
    table = pd.read_csv(folder / "next.csv")
    pd.testing.assert_frame_equal(table, pd.DataFrame(said["suggested"]), check_exact=False)
    assert list(table) == ["row", "rank", "cohort", "predicted", "confidence", "represents"]
    assert (table["cohort"] == "y").all()
    assert table["predicted"].value_counts().to_dict() == {"a": 3, "b": 3}
    assert said["written"] == ["next.csv"]


def test_cautions_are_in_the_document_and_among_the_lines(
    run: Callable[..., Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = ad.read_h5ad(folder / "query.h5ad")
    query[:, :15].write_h5ad(folder / "query.h5ad")
    run("train", "both.h5ad", "-o", "model", *QUICK)
    (caution,) = [
        c
        for c in run("annotate", "model", "query.h5ad", "-o", "out.h5ad")["cautions"]
        if "genes are missing" in c
    ]
    assert caution == "C08 genes: 5 of the model's 20 genes are missing here."
    again = ["annotate", "model", "query.h5ad", "-o", "out.h5ad", "--force"]
    assert main(again) == 0
    assert f"caution: {caution}\n" in capsys.readouterr().out
    assert main([*again, "--strict"]) == 3
    assert "written: out.h5ad" in capsys.readouterr().out
    written = ad.read_h5ad(folder / "out.h5ad").uns["domainvi"]["cautions"]
    assert caution in written


@pytest.mark.parametrize("found", [False, True])
def test_a_share_of_unknown_rows_is_said_where_more_are_found_than_by_chance(
    found: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    p = np.linspace(0.01, 0.45, 100) if found else np.linspace(0.06, 0.45, 100)
    obs = {"type_pred": pd.Categorical(["a"] * 100), "type_conf": 0.9, "type_unknown": p}
    rows = ad.AnnData(obs=pd.DataFrame(obs, index=[f"r{i}" for i in range(100)]))
    say = Results(sys.stdout, as_json=False)
    _say_classes(say, rows, "type")
    said = capsys.readouterr().out
    assert ("nothing beyond chance was found" in said) is not found
    assert ("estimated share of such rows 98%" in said) is found
    assert say.values["predictions"]["type"]["fit_no_known_class"]["tested"] == 100


def test_a_transfer_says_the_cautions_that_it_writes(
    run: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, annotate = [], dv.DomainVI.annotate

    def about(model: dv.DomainVI, *args: Any, caution_rows: np.ndarray, **kwargs: Any) -> None:
        asked.append(caution_rows.tolist())
        annotate(model, *args, caution_rows=caution_rows, **kwargs)

    monkeypatch.setattr(dv.DomainVI, "annotate", about)
    said = run("transfer", "ref.h5ad", "query.h5ad", "-o", "out.h5ad", *QUICK)
    assert asked == [[False] * 60 + [True] * 60]
    assert (
        ad.read_h5ad(folder / "out.h5ad").uns["domainvi"]["cautions"].tolist() == said["cautions"]
    )


def test_benchmark(run: Callable[..., Any], folder: Path) -> None:
    adata = ad.read_h5ad(folder / "both.h5ad")
    adata.obs["label"] = adata.obs["truth"]
    adata.write_h5ad(folder / "both.h5ad")
    words = ["--methods", "logistic_regression_z", "--protocol", "leave_one_domain_out"]
    said = run("benchmark", "both.h5ad", "-o", "table.csv", *KEYS, *words)
    table = pd.read_csv(folder / "table.csv")
    mean = table.groupby("method")["macro_f1"].mean()["logistic_regression_z"]
    assert said["score"] == "macro_f1"
    assert said["means"]["leave_one_domain_out"]["logistic_regression_z"] == pytest.approx(mean)
    assert said["written"] == ["table.csv"]


def test_failure_writes_no_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(folder / "nope.h5ad"), *KEYS, "--json"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "nope.h5ad does not exist" in shown.err


def test_results_add_up_and_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    say = Results(sys.stdout, as_json=True)
    say("a line", written=["a"], rows=np.int64(3))
    say(written=["é"], means={"x": np.float64("nan")})
    say(means={"y": np.array([1.5, np.inf])})
    say.finish()
    out = capsys.readouterr().out
    assert out.isascii()  # whatever letters the console has
    assert json.loads(out) == {
        "written": ["a", "é"],
        "rows": 3,
        "means": {"x": None, "y": [1.5, None]},
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    script = tmp_path / "completion.sh"
    assert main(["--install-completion", "--shell", "bash", "--output", str(script)]) == 0

    def complete(*words: str) -> list[str]:
        listed = " ".join(words)
        code = f'source "{script}"; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _domainvi;'
        return run_to_end(
            ["bash", "-c", code + ' echo "${COMPREPLY[@]}"'], check=True
        ).stdout.split()

    assert set(complete("domainvi", "tr")) == {"transfer", "train"}
    assert complete("domainvi", "audit", "--js") == ["--json"]
