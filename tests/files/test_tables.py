"""Tables and folders as programs and people write them: the same values, however they look."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import io as scipy_io
from scipy import sparse

from domainvi.cli import main
from domainvi.errors import InputError
from domainvi.files import format_of, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[pd.DataFrame], bytes | str]

GENES = ["TP53", "MYC", "EGFR", "KRAS", "CD3E"]
SAMPLES = ["s1", "s2", "s3", "s4"]
VALUES = np.array([[i + 10 * j + 0.25 for i in range(5)] for j in range(4)])


def gct(frame: pd.DataFrame) -> str:
    table = frame.T.rename_axis("Name")
    table.insert(0, "Description", "some, text")
    return f"#1.2\n{frame.shape[1]}\t{frame.shape[0]}\n" + table.to_csv(sep="\t")


def feature_counts(frame: pd.DataFrame) -> str:
    table = frame.T.rename_axis("Geneid")
    for i, (name, value) in enumerate({"Chr": "1;1", "Start": "1;9", "Length": 1000}.items()):
        table.insert(i, name, value)
    return "# Program: featureCounts; Command: any, thing\n" + table.to_csv(sep="\t")


def short_header(frame: pd.DataFrame) -> str:
    return "\t".join(frame.columns) + "\n" + frame.to_csv(sep="\t", header=False)


def described(frame: pd.DataFrame) -> str:
    return frame.T.assign(description="a, b")[["description", *frame.index]].to_csv()


# How a table is written, and the name of its file.
TABLES: dict[str, tuple[Write, str]] = {
    "decimal commas": (lambda f: f.to_csv(sep=";", decimal=","), "a.csv"),
    "decimal commas, tabs": (lambda f: f.T.to_csv(sep="\t", decimal=","), "a.tsv"),
    "commas between thousands": (
        lambda f: f.map(lambda v: f"{1000 * v:,.0f}").to_csv(),
        "thousands.csv",
    ),
    "points between thousands": (
        lambda f: f.map(lambda v: f"{1000 * v:,.1f}".translate(str.maketrans(",.", ".,"))).to_csv(
            sep=";"
        ),
        "thousands.csv",
    ),
    "a mark of the byte order": (lambda f: f.to_csv().encode("utf-8-sig"), "a.csv"),
    "utf-16": (lambda f: f.to_csv().encode("utf-16"), "a.csv"),
    "latin-1": (lambda f: f.assign(cohort="Köln").to_csv().encode("latin-1"), "a.csv"),
    "comments": (lambda f: "# made by a program\n#\n" + f.T.to_csv(), "a.csv"),
    "names behind a sign": (lambda f: "#" + f.T.rename_axis("gene").to_csv(sep="\t"), "a.tsv"),
    "gct": (gct, "a.gct"),
    "featureCounts": (feature_counts, "counts.txt"),
    "quotes": (lambda f: f.to_csv(quoting=1), "a.csv"),
    "descriptions of genes": (described, "a.csv"),
    "separators at the end": (
        lambda f: "\n".join(f"{line}," for line in f.to_csv().splitlines()),
        "a.csv",
    ),
    "write.table of R": (short_header, "a.txt"),
    "blanks": (lambda f: f.to_csv(sep=" "), "a.txt"),
    "bars": (lambda f: f.to_csv(sep="|"), "a.txt"),
    "carriage returns": (lambda f: f.to_csv().replace("\n", "\r\n"), "a.csv"),
    "old line ends": (lambda f: f.to_csv().replace("\n", "\r"), "a.csv"),
    "no names of rows": (lambda f: f.to_csv(index=False), "nameless.csv"),
    "no ending": (lambda f: f.to_csv(), "table"),
    "the ending of another format": (lambda f: f.to_csv(), "a.h5ad"),
    "gz that is none": (lambda f: f.to_csv(), "a.csv.gz"),
    "gzip": (lambda f: gzip.compress(f.to_csv().encode()), "a.csv.gz"),
    "bzip2": (lambda f: bz2.compress(f.to_csv().encode()), "a.csv.bz2"),
    "xz": (lambda f: lzma.compress(f.to_csv().encode()), "a.csv.xz"),
    "age and stage": (lambda f: f.assign(age=60, stage=2).to_csv(), "a.csv"),
}


def put(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("how", TABLES)
def test_tables_give_the_same_values_however_written(how: str, tmp_path: Path) -> None:
    write, name = TABLES[how]
    path = put(tmp_path / name, write(pd.DataFrame(VALUES, SAMPLES, GENES)))
    assert format_of(path) == "csv"
    found = read(path)
    assert found.var_names.tolist() == GENES
    factor = 1000 if name == "thousands.csv" else 1
    np.testing.assert_allclose(found.X, VALUES * factor)
    if name != "nameless.csv":
        assert found.obs_names.tolist() == SAMPLES
    expected = {"latin-1": ["cohort"], "age and stage": ["age", "stage"]}
    assert [*found.obs] == expected.get(how, [])
    if how == "latin-1":
        assert set(found.obs["cohort"]) == {"Köln"}


def test_columns_that_are_named_are_no_values(tmp_path: Path) -> None:
    frame = pd.DataFrame(VALUES, SAMPLES, GENES).assign(centre=[1, 1, 2, 2])
    path = put(tmp_path / "a.csv", frame.to_csv())
    assert read(path).n_vars == 6
    found = read(path, columns=["centre"])
    assert found.var_names.tolist() == GENES
    assert found.obs["centre"].tolist() == [1, 1, 2, 2]


REFUSED: dict[str, tuple[Write, str]] = {
    "a word among numbers": (
        lambda f: f.T.to_csv().replace(",0.25,", ",n/d,"),
        "column 's1' has 1 cells among 5 that are no numbers, such as 'n/d' in row 'TP53'",
    ),
    "no names": (lambda f: f.to_csv(header=False), "first row holds numbers such as 4.25"),
    "text only": (lambda f: "a,b\nc,d\n", "no column of numbers"),
    "two lines of names": (
        lambda f: "x," + ",".join(f.index) + "\nkind,a,a,b,b\n" + f.T.to_csv(header=False),
        "that are no numbers, such as 'a' in row 'kind'",
    ),
    "nothing": (lambda f: b"", "is empty (0 bytes): copy it again"),
    "a workbook": (lambda f: b"PK\3\4" + bytes(20), "zip archive or a workbook: unpack it, or"),
    "bytes": (lambda f: bytes(range(256)), "no format that is known here: convert it to h5ad"),
    "a packed file of R": (lambda f: gzip.compress(b"X\n\0\0\0\3"), "zellkonverter::writeH5AD"),
    "a packed file of bytes": (lambda f: gzip.compress(bytes(99)), "unpack it first"),
    "half a packed file": (
        lambda f: gzip.compress(np.random.default_rng(0).bytes(5000))[:2000],
        "packed and damaged",
    ),
}


@pytest.mark.parametrize("how", REFUSED)
def test_tables_that_are_none_are_refused_with_what_is_wrong(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, said = REFUSED[how]
    frame = pd.DataFrame(VALUES, SAMPLES, GENES)
    path = put(tmp_path / "a.csv", write(frame))
    assert main(["check", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_names_that_stand_twice_in_a_table_stay_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame(VALUES, SAMPLES, [*GENES[:4], "TP53"]).rename_axis("x")
    for table in (frame, frame.T):
        path = put(tmp_path / "a.csv", table.to_csv())
        assert read(path).var_names.tolist() == [*frame]
        assert main(["check", str(path)]) == 0
        assert "'TP53'. Keep one of each" in capsys.readouterr().out


# --- folders with matrix.mtx ----------------------------------------------------------------------


def folder(
    path: Path,
    *,
    packed: bool = True,
    genes: str = "features.tsv",
    n_columns: int = 3,
    prefix: str = "",
    turned: bool = False,
    kinds: tuple[str, ...] = ("Gene Expression",) * 5,
) -> Path:
    """Write counts of 4 cells as CellRanger does, or as others do."""
    path.mkdir(exist_ok=True)
    matrix = sparse.coo_matrix(np.floor(VALUES).astype(int).T)
    text = io.BytesIO()
    scipy_io.mmwrite(text, matrix.T if turned else matrix)
    columns = [[f"ENSG{i:011d}" for i in range(5)], GENES, kinds]
    names = pd.DataFrame(dict(enumerate(columns[:n_columns] if n_columns > 1 else [GENES])))
    parts = {
        "matrix.mtx": text.getvalue(),
        genes: names.to_csv(sep="\t", header=False, index=False).encode(),
        "barcodes.tsv": "".join(f"{name}\n" for name in SAMPLES).encode(),
    }
    for name, content in parts.items():
        if packed:
            (path / f"{prefix}{name}.gz").write_bytes(gzip.compress(content))
        else:
            (path / f"{prefix}{name}").write_bytes(content)
    return path


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"packed": False},
        {"packed": False, "genes": "genes.tsv", "n_columns": 2},
        {"genes": "genes.tsv", "n_columns": 2},
        {"prefix": "GSM1_"},
        {"n_columns": 1},
        {"turned": True},
    ],
    ids=str,
)
def test_folders_give_the_same_values_however_written(how: dict, tmp_path: Path) -> None:
    found = read(folder(tmp_path / "f", **how))
    assert found.obs_names.tolist() == SAMPLES
    assert [*found.var.get("gene_symbols", found.var_names)] == GENES
    np.testing.assert_array_equal(found.X.toarray(), np.floor(VALUES))


def test_antibodies_are_left_out(tmp_path: Path) -> None:
    kinds = (*("Gene Expression",) * 3, "Antibody Capture", "CRISPR Guide Capture")
    found = read(folder(tmp_path / "f", kinds=kinds))
    assert found.var["gene_symbols"].tolist() == GENES[:3]


def test_folders_that_are_incomplete_say_what_is_missing(tmp_path: Path) -> None:
    path = folder(tmp_path / "f")
    folder(path, prefix="b_")
    with pytest.raises(InputError, match=r"2 matrices, b_matrix.mtx.gz, matrix.mtx.gz; give each"):
        read(path)
    for file in path.glob("b_*"):
        file.unlink()
    assert read(path).n_obs == 4  # as advised
    (path / "barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match="no barcodes.tsv beside the matrix"):
        read(path)
    (path / "barcodes.tsv").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"shape \(5, 4\).*5 genes and 2 cells"):
        read(path)
    (path / "matrix.mtx.gz").unlink()
    with pytest.raises(InputError, match="folder without matrix.mtx"):
        read(path)


def test_a_table_is_annotated_end_to_end(tmp_path: Path, make_adata) -> None:
    adata = make_adata(40, 30)
    adata.var_names = [f"GEN{i}A" for i in range(30)]
    adata.write_h5ad(tmp_path / "ref.h5ad")
    adata.to_df().assign(cohort=7).to_csv(tmp_path / "query.csv", sep=";", decimal=",")
    command = ["transfer", str(tmp_path / "ref.h5ad"), str(tmp_path / "query.csv")]
    command += ["--labels", "truth", "--batch", "cohort", "--max-epochs", "1", "--device", "cpu"]
    assert main([*command, "-o", str(tmp_path / "out.h5ad")]) == 0
    written = ad.read_h5ad(tmp_path / "out.h5ad")
    assert written.obs["cohort"].tolist() == [7] * 40
    assert (written.obs["truth_pred"].astype(str) == adata.obs["truth"].astype(str)).mean() > 0.9
