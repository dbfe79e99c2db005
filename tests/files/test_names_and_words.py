"""Names that people give: of columns, colours, cohorts, classes and genes, as they are sent."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi import _keys
from domainvi.cli import main
from domainvi.data import (
    align_genes,
    check_setup,
    clean_names,
    color_list,
    describe_matrix,
    fraction_hint,
    match_genes,
    raw_hint,
)
from domainvi.errors import GeneMatchError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

HEXES = ["#ff0000", "#00ff00"]


@pytest.mark.parametrize("key", ["a/b", ".", "", "..", "é x", "_index"])
def test_keys_are_held_by_h5ad_and_zarr(key: str, tmp_path: Path) -> None:
    adata = ad.AnnData(np.zeros((2, 2), np.float32))
    names = _keys.of_classes(key)
    for name in names["obs"]:
        adata.obs[name] = [0.5, 1.0]
    adata.obsm[names["obsm"][0]] = np.ones((2, 2))
    adata.uns["domainvi"] = {"targets": {_keys.storable(key): np.array(["x"], dtype=object)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_h5ad(tmp_path / "a.h5ad")
        adata.write_zarr(tmp_path / "a.zarr")
        found = [ad.read_h5ad(tmp_path / "a.h5ad"), ad.read_zarr(tmp_path / "a.zarr")]
    for again in found:
        assert [*again.obs] == [*adata.obs]
        assert [*again.obsm] == [*adata.obsm]
        assert again.uns["domainvi"]["targets"].keys() == adata.uns["domainvi"]["targets"].keys()


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (dict(zip("ab", HEXES, strict=True)), HEXES),
        (np.eye(4)[:2], ["#ff000000", "#00ff0000"]),
        ([(1, 0, 0), (0, 1, 0)], HEXES),
        (np.array([h.encode() for h in HEXES]), HEXES),
        ("tab10", []),
        (None, []),
        (["red", "no colour"], []),
        (["red"], []),
        ({"a": "red"}, []),
    ],
)
def test_colours_are_copied_if_they_are_colours(stored: object, expected: list[str]) -> None:
    assert color_list(stored, ["a", "b"]) == expected


@pytest.mark.parametrize(
    "word", ["unassigned", "[Not Available]", "not_reported", "?", "-", "N/A", "Undetermined "]
)
def test_words_for_missing_are_missing_and_said(make_adata: Callable[..., ad.AnnData], word: str):
    adata = make_adata()
    adata.obs["label"] = adata.obs["label"].astype(str).where(np.arange(120) % 5 > 0, word)
    n = int((adata.obs["label"] == word).sum())
    with pytest.warns(UserWarning, match=rf"\({n} rows\)"):
        check_setup(adata, batch_keys=["cohort"], labels_key="label")
    assert set(clean_names(adata.obs["label"]).dropna()) == {"a", "b"}


def test_minus_beside_plus_is_a_class() -> None:
    assert clean_names(pd.Series(["+", "-", "?"])).tolist()[:2] == ["+", "-"]


def test_blanks_go_and_case_is_only_said(make_adata: Callable[..., ad.AnnData]) -> None:
    adata = make_adata(hidden=())
    label = adata.obs["label"].astype(str)
    label.iloc[:10] = label.iloc[:10] + " "
    label.iloc[10:20] = label.iloc[10:20].str.upper()
    adata.obs["label"] = label
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_setup(adata, batch_keys=["cohort"], labels_key="label")
    text = " ".join(str(w.message) for w in said)
    assert "'a ' (5 rows)" in text
    assert "'A' and 'a'" in text


def test_bytes_become_text_as_advised(make_adata: Callable[..., ad.AnnData]) -> None:
    adata = make_adata(hidden=())
    adata.obs["label"] = adata.obs["label"].astype(object).map(str.encode)
    with pytest.raises(InputError, match="Decode it") as error:
        check_setup(adata, batch_keys=["cohort"], labels_key="label")
    advice = str(error.value).split("Decode it: ")[1].rstrip(".")
    adata.obs["label"] = eval(advice, {"column": adata.obs["label"]})
    check_setup(adata, batch_keys=["cohort"], labels_key="label")
    assert adata.obs["label"].cat.categories.tolist() == ["a", "b"]


def test_columns_that_stand_twice_go_as_advised(make_adata: Callable[..., ad.AnnData]) -> None:
    adata = make_adata()
    adata.obs = pd.concat([adata.obs, adata.obs[["cohort"]]], axis=1)
    with pytest.raises(InputError, match="more than once: 'cohort'") as error:
        check_setup(adata, batch_keys=["cohort"], labels_key="label")
    exec(str(error.value).split("each: ")[1].rstrip("."), {"adata": adata})
    check_setup(adata, batch_keys=["cohort"], labels_key="label")


def test_positions_are_no_names() -> None:
    var = pd.DataFrame({"symbol": ["TP53", "MYC", "EGFR"]}, index=["0", "1", "2"])
    with pytest.raises(GeneMatchError, match=r"positions.*adata.var\['symbol'\]"):
        match_genes(var, ["2", "1", "0"])
    assert match_genes(var, ["MYC", "TP53"]).source.tolist() == [1, 0]


def test_numbers_made_unique_are_not_matched_across_files() -> None:
    names = ["TP53", "TP53-1", "MYC", "NKX2-1"]
    found = match_genes(pd.DataFrame(index=names), ["NKX2-1", "MYC", "TP53-1", "TP53"])
    assert found.source.tolist() == [3, 2, -1, 0]
    assert match_genes(pd.DataFrame(index=names), names).n_matched == 4


def test_genes_are_found_by_columns_and_without_versions() -> None:
    ids = [f"ENSG{i:011d}" for i in range(20)]
    var = pd.DataFrame({"gene_symbols": [f"G{i // 2 if i < 4 else i}" for i in range(20)]}, ids)
    by_symbol = match_genes(var, [f"G{i}" for i in range(20)])
    assert by_symbol.source.tolist() == [-1] * 4 + [*range(4, 20)]  # doubled ones are left out
    assert match_genes(var, [f"{i}.7" for i in ids[::-1]]).source.tolist() == [*range(20)][::-1]
    theirs = pd.DataFrame({"gene_ids": ids[::-1]}, index=[f"X{i}y" for i in range(20)])
    assert match_genes(var, theirs.index, theirs).source.tolist() == [*range(20)][::-1]


def test_panels_are_accepted_and_few_genes_by_choice() -> None:
    reference = [f"G{i}x" for i in range(1000)]
    panel = pd.DataFrame(index=reference[:120])
    assert match_genes(panel, reference).n_matched == 120
    few = pd.DataFrame(index=reference[:20])
    with pytest.raises(GeneMatchError, match="panel.*min_genes"):
        match_genes(few, reference)
    assert match_genes(few, reference, min_genes=20).n_matched == 20


def test_fractions_are_rounded_and_raw_is_taken_as_advised() -> None:
    x = np.full((4, 5), 100.0)
    x[0, 0] += 0.5
    adata = ad.AnnData(x)
    assert "numpy.rint" in fraction_hint(describe_matrix(adata.X))
    assert describe_matrix(np.rint(adata.X)).kind == "counts"
    bare = ad.AnnData(None, obs=adata.obs, var=adata.var)
    bare.raw = adata
    assert "adata.raw.to_adata()" in raw_hint(bare)
    assert bare.raw.to_adata().X is not None


@pytest.mark.parametrize(
    ("given", "match"),
    [({"use_gpu": True}, "accelerator"), ({"max_epoch": 1}, "max_epochs"), ({"lr": 1}, "plan_kw")],
)
def test_arguments_are_refused_on_entry(
    make_adata: Callable[..., ad.AnnData], given: dict[str, object], match: str
) -> None:
    adata = make_adata()
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    with pytest.raises(InputError, match=match):
        dv.DomainVI(adata).train(**given)


def test_a_column_of_the_user_is_not_replaced(make_adata, tmp_path: Path, capsys) -> None:
    adata = make_adata()
    ref, query = (adata[adata.obs["cohort"] == c].copy() for c in "xy")
    query.obs["label_pred"] = "mine"
    ref.write_h5ad(tmp_path / "ref.h5ad")
    query.write_h5ad(tmp_path / "query.h5ad")
    out = tmp_path / "out.h5ad"
    command = ["transfer", str(tmp_path / "ref.h5ad"), str(tmp_path / "query.h5ad"), "-o", str(out)]
    command += ["--labels", "label", "--batch", "cohort", "--max-epochs", "1", "--device", "cpu"]
    assert main(command) == 2
    assert "'label_pred' already" in capsys.readouterr().err
    assert main([*command, "--overwrite-columns"]) == 0
    again = ad.read_h5ad(out)
    assert set(again.obs["label_pred"]) <= {"a", "b"}
    assert main([*command[:2], str(out), "-o", str(tmp_path / "b.h5ad"), *command[5:]]) == 0


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda n: f" {n} ", "Without blanks and quotes around the names"),
        (lambda n: f'"{n}"', "Without blanks and quotes around the names"),
        (lambda n: str(n.encode()), "Without blanks and quotes around the names"),
        (lambda n: f"GRCh38_{n}", "Without the name of the genome in front"),
        (lambda n: f"hg19_{n}", "Without the name of the genome in front"),
        (lambda n: f"{n}|7157", "Without what stands behind the first '|' or '_'"),
        (lambda n: f"{n}_ENSG00000141510", "Without what stands behind the first '|' or '_'"),
        (lambda n: f"ENSG00000141510.3|{n}", "Without what stands before the last '|' or '_'"),
        (lambda n: f"{n}.1", "Without version suffixes such as '.12'"),
        (str.lower, "spell them alike"),
    ],
    ids=range(10),
)
def test_what_is_around_names_is_removed_as_advised(wrap: Callable[[str], str], said: str) -> None:
    genes = [f"GEN{chr(65 + i)}" for i in range(20)]
    adata = ad.AnnData(np.zeros((1, 20)), var=pd.DataFrame(index=[wrap(n) for n in genes]))
    with pytest.raises(GeneMatchError, match=re.escape(said)) as error:
        match_genes(adata.var, genes)
    advice = re.search(r"adata\.var_names(\.str\.\S.*\))\.?$", str(error.value))
    assert advice is not None
    adata.var_names = eval(f"adata.var_names{advice[1]}", {"adata": adata})
    assert match_genes(adata.var, genes).n_matched == 20


@pytest.mark.parametrize(
    "name", ["{}", "V{}", "X{}", "Unnamed: {}", "{}.0", "var_{}", "feature {}"]
)
def test_numbered_columns_are_positions_in_whatever_form(name: str) -> None:
    numbered = [name.format(i + 1) for i in range(30)]
    with pytest.raises(GeneMatchError, match="are positions"):
        align_genes(numbered, numbered)
    with pytest.raises(GeneMatchError, match="of the data are positions, not genes"):
        align_genes(numbered, [f"GEN{i}A" for i in range(30)])
    with pytest.raises(GeneMatchError, match="of the reference are positions, not genes"):
        align_genes([f"GEN{i}A" for i in range(30)], numbered)


@pytest.mark.parametrize("case", ["lower", "upper", "capitalize"])
def test_letters_of_another_size_are_spelt_as_advised(case: str) -> None:
    genes = pd.Index([f"gen{i}a" for i in range(20)])
    reference = getattr(genes.str, case)()
    data = genes.str.upper() if case != "upper" else genes
    with pytest.raises(GeneMatchError, match=rf"adata.var_names.str.{case}\(\)"):
        align_genes(data, reference)
    assert align_genes(getattr(data.str, case)(), reference).n_matched == 20


def test_names_that_match_none_are_described(make_adata, caplog: pytest.LogCaptureFixture) -> None:
    adata = make_adata(40, 20, hidden=())
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    query = adata.copy()
    query.var_names = [*adata.var_names[:12], *(f"ENSG{i:011d}" for i in range(8))]
    model.predict(query)
    assert "8 of 20 genes of the model are missing" in caplog.text
    assert "Of the data match none: 8 Ensembl ids, such as ENSG00000000000." in caplog.text


def test_numbers_for_names_are_matched_and_said(caplog: pytest.LogCaptureFixture) -> None:
    assert align_genes(["gene_2", "gene_1"], ["gene_1", "gene_2"]).n_matched == 2
    assert "make sure that a number stands for the same gene in both" in caplog.text


def test_too_large_a_number_of_genes_is_said() -> None:
    with pytest.raises(GeneMatchError, match="only 3: ask for fewer with min_genes"):
        align_genes(["A1X", "B1X", "C1X"], ["A1X", "B1X", "C1X"], min_genes=9)


@pytest.mark.parametrize("key", ["", "_scvi_batch", "_scvi_labels"])
def test_names_that_scvi_tools_keeps_are_refused(make_adata, key: str) -> None:
    adata = make_adata()
    adata.obs[key] = adata.obs["cohort"]
    with pytest.raises(InputError, match="a name that scvi-tools keeps for itself"):
        dv.DomainVI.setup_anndata(adata, batch_key=key, labels_key="label")


def test_long_names_and_unseen_letters_make_keys_that_files_hold() -> None:
    long = "ä" * 300
    assert len(_keys.unknown(long).encode()) < 255
    assert _keys.storable(long) != _keys.storable(f"{long}b")
    assert _keys.storable("a\0b\ud800") == "a_b_"


@pytest.mark.parametrize(
    "names", [["KIRC", "KIRC\u200b"], ["KIRC", "\ufeffKIRC"], ["KIRC", "KIRC\xa0"]], ids=ascii
)
def test_letters_that_are_not_seen_are_no_difference(names: list[str]) -> None:
    assert set(clean_names(pd.Series(names))) == {"KIRC"}


@pytest.mark.parametrize(
    "names",
    [["Café", "Cafe\u0301"], ["T cell", "T  cell"], ["T cell", "T_cell"], ["1", "1.0"]],
    ids=ascii,
)
def test_names_that_read_alike_are_said(make_adata, names: list[str]) -> None:
    adata = make_adata(hidden=())
    adata.obs["label"] = np.array(names)[np.arange(120) % 2]
    with pytest.warns(UserWarning, match="differ in form only and stay apart"):
        check_setup(adata, batch_keys=["cohort"], labels_key="label")


@pytest.mark.parametrize("word", ["Unbekannt", "inconnu", "N.D.", "未知", "not classified"])
def test_words_of_other_languages_are_missing(word: str) -> None:
    assert clean_names(pd.Series(["a", word])).isna().tolist() == [False, True]


@pytest.mark.parametrize("rename", [int, float, str.encode], ids=["ints", "floats", "bytes"])
def test_names_of_rows_that_are_no_text_keep_their_rows(
    make_adata, rename: Callable[[str], object]
) -> None:
    adata = make_adata(40, hidden=())
    adata.obs_names = [str(i) for i in range(40)]
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    model.annotate(adata)
    query = adata[::-1].copy()
    query.obs = query.obs[["cohort"]].copy()
    query.obsm, query.uns = {}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        query.obs.index = pd.Index([rename(name) for name in query.obs_names])
        model.annotate(query)
    assert [*query.obs["label_pred"]] == [*adata.obs["label_pred"][::-1]]
    np.testing.assert_allclose(query.obsm["X_domainvi"], adata.obsm["X_domainvi"][::-1], atol=1e-5)
    assert query.obs.index[0] == rename("39")


def test_a_saved_model_takes_a_panel_when_told_how_few_genes(
    make_adata, tmp_path: Path, capsys
) -> None:
    adata = make_adata(40, 30, hidden=())
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    model.save(tmp_path / "model")
    panel = adata[:, :12].copy()
    with pytest.raises(GeneMatchError, match=r"min_genes= of annotate \(--min-genes\)"):
        model.annotate(panel)
    model.annotate(panel, min_genes=12)
    assert panel.uns["domainvi"]["genes_matched"] == 12
    adata[:, :12].copy().write_h5ad(tmp_path / "panel.h5ad")
    command = ["annotate", str(tmp_path / "model"), str(tmp_path / "panel.h5ad"), "-o"]
    command += [str(tmp_path / "out.h5ad"), "--device", "cpu"]
    assert main(command) == 2
    assert main([*command, "--min-genes", "12"]) == 0
    assert (ad.read_h5ad(tmp_path / "out.h5ad").obs["label_pred"] == panel.obs["label_pred"]).all()
    with pytest.raises(InputError, match="min_genes=0 must be a whole number"):
        model.annotate(panel, min_genes=0)


def test_labels_of_other_classes_are_not_compared(make_adata, tmp_path: Path, capsys) -> None:
    ref, query = (make_adata(40, 30, cohorts=(c,), hidden=()) for c in "xq")
    query.obs["label"] = "elsewhere"
    query.obsm["X_domainvi"] = np.ones((40, 2))
    ref.write_h5ad(tmp_path / "ref.h5ad")
    query.write_h5ad(tmp_path / "query.h5ad")
    command = ["transfer", str(tmp_path / "ref.h5ad"), str(tmp_path / "query.h5ad")]
    command += ["--labels", "label", "--batch", "cohort", "--max-epochs", "1", "--device", "cpu"]
    command += ["-o", str(tmp_path / "out.h5ad")]
    assert main(command) == 2
    assert "obsm has 'X_domainvi' already" in capsys.readouterr().err
    assert main([*command, "--overwrite-columns"]) == 0
    out = capsys.readouterr().out
    assert "its own 40 labels name none of the classes (elsewhere): not compared" in out
    assert "accuracy" not in out


def test_outputs_that_are_no_files_are_refused(tmp_path: Path, make_adata) -> None:
    from domainvi.cli._files import check_output

    for name, said in {"/dev/null": "no ordinary file", str(tmp_path): "a folder"}.items():
        with pytest.raises(InputError, match=f"is {said}; expected the name of a file"):
            check_output(Path(name), True, kind=".h5ad")
    with pytest.raises(InputError, match=r"ends in .pdf, and this command writes html"):
        check_output(tmp_path / "report.pdf", False, kind=".html")
