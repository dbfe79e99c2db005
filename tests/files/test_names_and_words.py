"""Names that people give: of columns, colours, cohorts, classes and genes, as they are sent."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi import _keys
from domainvi.cli import main
from domainvi.data import (
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
    from pathlib import Path

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
