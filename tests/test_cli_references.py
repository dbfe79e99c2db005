"""Several references at once on the command line: the same as if they were joined by hand."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.cli import main
from domainvi.cli._main import BAD_INPUT, SUCCESS
from domainvi.cli._options import Training
from domainvi.cli._references import read_references
from domainvi.cli._results import Results

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUICK = ["--max-epochs", "1", "--device", "cpu"]
WORDS = "label,name\ncolon,CRC\nlung adenocarcinoma,LUAD\n"
MAPPED = ["--labels", "cancer_type", "--labels", "site", "--label-map", "{names}"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two references of TCGA by array, with other columns and words, and a query by RNA-seq."""
    adata = dv.data.cohorts()[::2, :80]
    array = adata[adata.obs["cohort"] == "agilent"]
    first, second = array[::2].copy(), array[1::2, ::-1][:, :70].copy()
    site = {"CRC": "colon", "LUAD": "lung adenocarcinoma"}
    second.obs["site"] = second.obs["cancer_type"].cat.rename_categories(site)
    second.obs_names = [*first.obs_names[:2], *second.obs_names[2:]]
    query = adata[adata.obs["cohort"] == "rnaseq", :75].copy()
    by_hand = ad.concat(
        {"first": first, "second": second}, label="cohort", join="inner", index_unique="-"
    )
    del query.obs["cohort"], first.obs["cohort"], second.obs["cohort"], second.obs["cancer_type"]
    parts = {"first": first, "second": second, "query": query, "by_hand": by_hand}
    for name, part in parts.items():
        part.write_h5ad(tmp_path / f"{name}.h5ad")
    (tmp_path / "names.csv").write_text(WORDS)
    return tmp_path


def run(folder: Path, command: str, files: list[str], *more: str) -> int:
    paths = [str(folder / f"{name}.h5ad") for name in files]
    options = [word.format(names=folder / "names.csv", folder=folder) for word in more]
    return main([command, *paths, *options])


def test_references_are_as_if_joined_by_hand(folder: Path, capsys) -> None:
    out = ["-o", "{folder}/out.h5ad", *QUICK]
    assert run(folder, "transfer", ["first", "second", "query"], *MAPPED, *out) == SUCCESS
    shown = capsys.readouterr()
    assert "reference first: 48 rows, 80 genes, 4 classes" in shown.out
    assert "reference second: 47 rows, 70 genes, 4 classes" in shown.out
    assert "genes: 70 are in all 2 references, and are used; the others are left out" in shown.out
    assert "classes: 4 in several references; none in one only\n" in shown.out
    assert "cohorts: first, second (reference); query (query)" in shown.out
    assert "2 names of rows stand in several references" in shown.err
    joined = ad.read_h5ad(folder / "out.h5ad")
    hand = ["--labels", "cancer_type", "--batch", "cohort", "-o", "{folder}/hand.h5ad", *QUICK]
    assert run(folder, "transfer", ["by_hand", "query"], *hand) == SUCCESS
    expected = ad.read_h5ad(folder / "hand.h5ad")
    for key in ("cancer_type_prob", "X_domainvi"):
        np.testing.assert_array_equal(joined.obsm[key], expected.obsm[key])
    pd.testing.assert_frame_equal(joined.obs, expected.obs)
    pd.testing.assert_index_equal(joined.obs_names, ad.read_h5ad(folder / "query.h5ad").obs_names)


def test_audit_says_which_classes_one_reference_has_alone(folder: Path, capsys) -> None:
    assert run(folder, "audit", ["first", "second"], *MAPPED[:4], "--json") == SUCCESS
    found = json.loads(capsys.readouterr().out)
    assert found["references"]["second"] == {
        "rows": 47,
        "genes": 70,
        "classes": ["KIRC", "KIRP", "colon", "lung adenocarcinoma"],
    }
    assert found["domains"] == ["first", "second"]
    assert run(folder, "audit", ["first", "second"], *MAPPED[:4]) == SUCCESS
    said = capsys.readouterr().out
    assert "classes: 2 in several references; in first only: CRC, LUAD; in second only" in said
    assert "adenocarcinoma. The same class under two names is joined with --label-map\n" in said


@pytest.mark.parametrize("labels", [["cancer_type"], ["cancer_type", "broad"]])
def test_a_reference_of_coarse_labels_alone_has_coarse_classes(
    labels: list[str], folder: Path, capsys
) -> None:
    broad = {"KIRC": "kidney", "KIRP": "kidney", "CRC": "colon", "LUAD": "lung"}
    first = ad.read_h5ad(folder / "first.h5ad")
    first.obs["broad"] = first.obs["cancer_type"].astype(str).map(broad)
    first.write_h5ad(folder / "first.h5ad")
    del first.obs["cancer_type"]
    first.write_h5ad(folder / "coarse.h5ad")
    options = Training(labels=labels, coarse_labels=["broad"])
    paths = [folder / "first.h5ad", folder / "coarse.h5ad"]
    say = Results(sys.stdout, as_json=False)
    joined = read_references(paths, options, say)
    shown = capsys.readouterr().out
    assert "reference first: 48 rows, 80 genes, 4 fine, 3 coarse classes" in shown
    assert "reference coarse: 48 rows, 80 genes, 0 fine, 3 coarse classes" in shown
    assert say.values["references"]["coarse"]["coarse_classes"] == ["colon", "kidney", "lung"]
    assert set(joined.obs["cancer_type"].dropna()) == set(broad)
    repeated = [word for label in labels for word in ("--labels", label)]
    coarse = ["--coarse-labels", "broad"]
    assert run(folder, "audit", ["first", "coarse"], *repeated, *coarse, "--json") == SUCCESS
    found = json.loads(capsys.readouterr().out)
    assert "alone has labels of the finest level (coarser ones: coarse)" in found["sentence"]
    assert found["table"]["(coarser label)"] == {"first": 0, "coarse": 48}
    assert found["table"]["(unlabelled)"] == {"first": 0, "coarse": 0}


@pytest.mark.parametrize("more", [[], ["--label-map", "{names}"]])
def test_one_reference_without_the_cohort_column_is_one_cohort(
    more: list[str], folder: Path, capsys
) -> None:
    query = ad.read_h5ad(folder / "query.h5ad")
    query.obs["study"] = "hospital"
    query.write_h5ad(folder / "query.h5ad")
    (folder / "names.csv").write_text("label,name\nCRC,colon\n")
    keys = ["--labels", "cancer_type", "--batch", "study", *more]
    out = ["-o", "{folder}/out.h5ad", *QUICK]
    assert run(folder, "transfer", ["first", "query"], *keys, *out) == SUCCESS
    shown = capsys.readouterr()
    assert "cohorts: first (reference); hospital (query)" in shown.out
    assert shown.err.count("first has no column 'study': all of its rows are of one cohort") == 1
    assert run(folder, "train", ["first"], *keys, "-o", "{folder}/model", *QUICK) == BAD_INPUT
    assert "batch_key='study' is not a column" in capsys.readouterr().err


def test_files_of_one_name_are_two_cohorts(folder: Path, capsys) -> None:
    (folder / "other").mkdir()
    shutil.copy(folder / "second.h5ad", folder / "other" / "first.h5ad")
    text = f"label,name,reference\ncolon,CRC,{folder}/other/first.h5ad\n"
    (folder / "names.csv").write_text(text)
    assert run(folder, "audit", ["first", "other/first"], *MAPPED, "--json") == SUCCESS
    found = json.loads(capsys.readouterr().out)
    assert found["domains"] == ["first", "first (2)"]
    assert found["references"]["first (2)"]["classes"][0] == "CRC"
    for name in ("first.h5ad", "first"):
        (folder / "names.csv").write_text(f"label,name,reference\ncolon,CRC,{name}\n")
        assert run(folder, "audit", ["first", "other/first"], *MAPPED) == BAD_INPUT
        assert f"reference {name!r} is the name of 2 files" in capsys.readouterr().err
    (folder / "names.csv").write_text("label,name,reference\ncolon,CRC,first (2)\n")
    assert run(folder, "audit", ["first", "other/first"], *MAPPED) == SUCCESS


def test_train_takes_several_files_and_their_model_reads_each(folder: Path, capsys) -> None:
    model, out = str(folder / "model"), str(folder / "annotated.h5ad")
    assert run(folder, "train", ["first", "second"], *MAPPED, "-o", model, *QUICK) == SUCCESS
    said = capsys.readouterr().out
    assert "classes: CRC, KIRC, KIRP, LUAD\ncohorts: first, second\n" in said
    assert main(["annotate", model, str(folder / "second.h5ad"), "-o", out]) == SUCCESS
    assert set(ad.read_h5ad(out).obs["cancer_type_pred"]) <= {"CRC", "KIRC", "KIRP", "LUAD"}


def test_a_file_without_the_column_is_unlabelled(folder: Path, capsys) -> None:
    labels = ["--labels", "cancer_type"]
    assert run(folder, "audit", ["first", "second"], *labels, "--json") == SUCCESS
    shown = capsys.readouterr()
    assert shown.err.count("obs of second has no column 'cancer_type': all of its rows take") == 1
    assert json.loads(shown.out)["table"]["(unlabelled)"] == {"first": 0, "second": 47}
    assert run(folder, "audit", ["first", "second"], *labels, *labels) == BAD_INPUT
    assert "second.h5ad: labels_key='cancer_type' is not" in capsys.readouterr().err
    assert run(folder, "audit", ["first", "second"], "--labels", "type") == BAD_INPUT
    assert "labels_key='type' is not a column" in capsys.readouterr().err


def test_check_counts_the_genes_of_all(folder: Path, capsys) -> None:
    assert run(folder, "check", ["first", "second", "query"]) == SUCCESS
    assert "together: 65 genes are in all 3 files" in capsys.readouterr().out
    assert run(folder, "check", ["first", "second", "query"], *MAPPED[:4]) == SUCCESS
    assert "remark" not in capsys.readouterr().out
    assert run(folder, "check", ["first", "second"], *["--labels", "site"] * 3) == BAD_INPUT


def test_one_file_is_a_reference_for_other_cohorts(folder: Path, capsys) -> None:
    keys = ["--labels", "cancer_type", *QUICK]
    assert run(folder, "train", ["first"], *keys, "-o", "{folder}/model") == SUCCESS
    shown = capsys.readouterr()
    assert "cohorts: first\n" in shown.out
    said = "".join(shown)
    assert said.count("has one level, 'first': nothing is aligned in training") == 1
    line = ["annotate", str(folder / "model"), str(folder / "query.h5ad")]
    assert main([*line, "-o", str(folder / "out.h5ad")]) == SUCCESS
    said = "".join(capsys.readouterr())
    assert "by the shift that their composition leaves" in said
    assert "names cohorts of training" not in said
    query = ad.read_h5ad(folder / "query.h5ad")
    query.obs["cohort"] = "first"
    query.write_h5ad(folder / "query.h5ad")
    assert main([*line, "-o", str(folder / "again.h5ad")]) == SUCCESS
    said = "".join(capsys.readouterr())
    assert "obs['cohort'] names cohorts of training" in said
    assert "their rows are read as those: first" in said


BAD = {
    "no files": ("train", [], ["--labels", "cancer_type"], "There is no file to read"),
    "no query": ("transfer", ["first"], ["--labels", "cancer_type"], "two files at least"),
    "one file twice": (
        "transfer",
        ["first", "first", "query"],
        ["--labels", "cancer_type"],
        "first.h5ad stands twice among the files",
    ),
    "three columns for two": (
        "transfer",
        ["first", "second", "query"],
        [*MAPPED[:4], "--labels", "sex"],
        "--labels stands 3 times for 2 references",
    ),
    "one lacks the column": (
        "transfer",
        ["first", "second", "query"],
        ["--labels", "cancer_type"],
        "second.h5ad: labels_key='cancer_type' is not a column",
    ),
    "none has the cohort": (
        "transfer",
        ["first", "second", "query"],
        [*MAPPED[:4], "--batch", "chort"],
        "batch_key='chort' is not a column of adata.obs",
    ),
    "few genes": (
        "transfer",
        ["first", "few", "query"],
        ["--labels", "cancer_type"],
        "few, beside first: adata.var_names has 5 of the 80 reference genes",
    ),
    "other names of genes": (
        "transfer",
        ["first", "ensembl", "query"],
        ["--labels", "cancer_type"],
        "The data seem to use Ensembl ids, the reference symbols",
    ),
    "counts": (
        "transfer",
        ["first", "counts", "query"],
        ["--labels", "cancer_type"],
        "first holds values that are no counts and counts counts",
    ),
    "a map of other words": (
        "transfer",
        ["first", "second", "query"],
        [*MAPPED[:4], "--label-map", "{folder}/other.csv"],
        "label_map has none of the 6 labels",
    ),
    "a map of other columns": (
        "transfer",
        ["first", "second", "query"],
        [*MAPPED[:4], "--label-map", "{folder}/columns.csv"],
        "label_map has columns 'from', 'to'; expected 'label' and 'name'",
    ),
    "a map with surplus fields": (
        "transfer",
        ["first", "second", "query"],
        [*MAPPED[:4], "--label-map", "{folder}/surplus.csv"],
        "surplus.csv has lines with more fields than its first line",
    ),
    "no such map": (
        "transfer",
        ["first", "second", "query"],
        [*MAPPED[:4], "--label-map", "{folder}/nope.csv"],
        "nope.csv does not exist",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_call_is_one_line_before_any_training(case: str, folder: Path, capsys) -> None:
    first = ad.read_h5ad(folder / "first.h5ad")
    first.obs["sex"] = "f"
    first.write_h5ad(folder / "first.h5ad")
    first[:, :5].write_h5ad(folder / "few.h5ad")
    ensembl = first.copy()
    ensembl.var_names = [f"ENSG{i:011d}" for i in range(first.n_vars)]
    ensembl.write_h5ad(folder / "ensembl.h5ad")
    counts = first.copy()
    counts.X = np.random.default_rng(0).poisson(5, first.shape).astype(np.float32)
    counts.write_h5ad(folder / "counts.h5ad")
    (folder / "other.csv").write_text("label,name\nheart,HRT\n")
    (folder / "columns.csv").write_text("from,to\ncolon,CRC\n")
    (folder / "surplus.csv").write_text("label,name\ncolon,CRC,from the paper\n")
    before = sorted(folder.iterdir())
    command, files, more, message = BAD[case]
    assert run(folder, command, files, *more, "-o", "{folder}/out") == BAD_INPUT
    err = capsys.readouterr().err
    last = err.splitlines()[-1]
    assert last.startswith("domainvi: error: ")
    assert message in last
    assert "training" not in err
    assert sorted(folder.iterdir()) == before


def test_a_last_separator_on_each_line_moves_no_column(folder: Path, capsys) -> None:
    (folder / "names.csv").write_text("label,name\ncolon,CRC,\nlung adenocarcinoma,LUAD,\n")
    assert run(folder, "audit", ["first", "second"], *MAPPED, "--json") == SUCCESS
    found = json.loads(capsys.readouterr().out)
    assert found["references"]["second"]["classes"] == ["CRC", "KIRC", "KIRP", "LUAD"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_map_for_one_file_leaves_the_others(
    separator: str, folder: Path, make_adata: Callable[..., ad.AnnData], capsys
) -> None:
    for name in ("x", "y"):
        part = make_adata(hidden=())
        part = part[part.obs["cohort"] == name].copy()
        part.write_h5ad(folder / f"{name}.h5ad")
    text = "label,name,reference\na,b,y.h5ad\nb,a,y.h5ad\n"
    (folder / "names.csv").write_text(text.replace(",", separator))
    words = ["--labels", "label", "--batch", "cohort", "--label-map", "{names}"]
    assert run(folder, "audit", ["x", "y"], *words, "--json") == SUCCESS
    table = json.loads(capsys.readouterr().out)["table"]
    assert table["a"] == {"x": 30, "y": 30}
