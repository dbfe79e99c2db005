"""Tables as text: how they are written, which axis is the genes, which columns are no values."""

from __future__ import annotations

import bz2
import csv
import gzip
import logging
import lzma
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from anndata import AnnData

logger = logging.getLogger(__name__)

_GENE = re.compile(r"^(ENS[A-Z]*\d{6,}(\.\d+)?|(hsa|mmu|rno)-\S+|[A-Z][A-Za-z]*\d*[A-Z0-9-]{1,9})$")
# Names of one axis must look like genes more often by this share, or its length decides.
_CLEARLY = 0.2
# Columns of numbers that are no values, neither of a gene nor of a sample.
_ANNOTATION = frozenset(
    {"length", "start", "end", "strand", "chr", "chrom", "chromosome", "entrez", "entrezid"}
    | {"entrez_id", "gene_length", "effectivelength", "age", "stage", "grade", "batch", "cohort"}
    | {"study", "dataset", "sex", "gender", "label", "labels", "class", "patient", "cluster"}
    | {"status", "n_counts", "n_genes", "total_counts"}
)
_PACKERS: dict[bytes, Any] = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ": lzma}
_PROBED_LINES = 100
# A column of text with this share of numbers is one of values with a word in it.
_MOSTLY_NUMBERS = 0.8
_WITH_COMMA = re.compile(r"-?\d+(\.\d{3})*(,\d+)+(\.\d+)?([eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_DECIMAL_NUMBER = re.compile(r"-?\d+\.\d+([eE][-+]?\d+)?(\.\d+)?")


class Layout(NamedTuple):
    """How a table is written, as arguments of pandas, and the names in its first row."""

    options: dict[str, Any]
    header: list[str]


def table(path: Path, columns: Iterable[str] = ()) -> AnnData:
    """Read a table of text, packed or not, with genes in rows or in columns; the log says which.

    Columns of text beside the values, those named, and numbers such as an age or the length of a
    gene become columns of ``obs`` where rows are samples, and of ``var`` where they are genes.
    """
    import anndata as ad

    frame = _frame(path)
    named = np.isin(frame.columns, list(columns)) | frame.columns.str.casefold().isin(_ANNOTATION)
    is_number = np.array([pd.api.types.is_any_real_numeric_dtype(t) for t in frame.dtypes])
    named |= frame.isna().all().to_numpy()
    is_value = is_number & ~named
    _refuse_words(frame.loc[:, ~is_value & ~named])
    if not is_value.any() or frame.empty:
        msg = f"it has no column of numbers among {frame.shape[1]}"
        raise ValueError(msg)
    values, others = frame.loc[:, is_value], frame.loc[:, ~is_value]
    in_rows = genes_in_rows(values)
    where = "rows" if in_rows else "columns"
    beside = f"; no values: {', '.join(others.columns[:5])}" if (is_number & named).any() else ""
    logger.info("%s: read as a csv table with genes in %s%s.", path.name, where, beside)
    x = values.to_numpy(dtype=np.float32)
    if in_rows:
        return ad.AnnData(x.T, obs=pd.DataFrame(index=values.columns), var=others)
    return ad.AnnData(x, obs=others, var=pd.DataFrame(index=values.columns))


def genes_in_rows(values: pd.DataFrame) -> bool:
    """Whether rows are genes: by the form of the names, or by the longer axis.

    Examples
    --------
    >>> genes_in_rows(pd.DataFrame(0.0, ["TP53", "EGFR"], ["sample 1", "sample 2", "sample 3"]))
    True
    """
    rows, columns = (
        np.mean([bool(_GENE.match(name)) for name in axis]) for axis in (values.index, values)
    )
    if abs(rows - columns) > _CLEARLY:
        return bool(rows > columns)
    return values.shape[0] > values.shape[1]


def packer(head: bytes) -> Any:
    """Return the module that unpacks what begins like this; none if it is not packed."""
    return next((p for magic, p in _PACKERS.items() if head.startswith(magic)), None)


def is_text(head: bytes) -> bool:
    """Whether bytes are the beginning of a table: text, with lines and something between names."""
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return True
    return not re.search(rb"[\0-\x08\x0e-\x1a]", head) and bool(re.search(rb"[\t,;| ][^\n]*", head))


def _frame(path: Path) -> pd.DataFrame:
    """Read all cells, with the names as they are written and a name for each row."""
    with path.open("rb") as file:
        head = file.read(8)
    opener = (packer(head) or gzip).open if packer(head) else open
    encoding = "utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    with opener(path, "rt", encoding=encoding, errors="replace") as text:
        lines = [line.rstrip("\r\n") for line, _ in zip(text, range(_PROBED_LINES), strict=False)]
    options, header = layout(lines)
    try:
        with opener(path, "rt", encoding=encoding) as text:
            frame = pd.read_csv(text, **options)
    except UnicodeDecodeError:
        logger.info("%s: not UTF-8, read as Latin-1.", path.name)
        with opener(path, "rt", encoding="latin-1") as text:
            frame = pd.read_csv(text, **options)
    names = header[-frame.shape[1] :] if len(header) >= frame.shape[1] else list(frame.columns)
    frame.columns = pd.Index([str(name) for name in names], dtype=object)
    # What a separator at the end of each line leaves behind.
    frame = frame.loc[:, ~((frame.columns == "") & frame.isna().all().to_numpy())]
    numbered = np.mean([bool(_DECIMAL_NUMBER.fullmatch(n)) for n in names]) if names else 0
    if numbered > 0.5:
        msg = f"its first row holds numbers such as {names[-1]}, not names"
        raise ValueError(msg)
    if _is_value_column(frame.index) and header:
        frame = frame.reset_index(names=header[0])
    frame.index = frame.index.astype(str)
    return frame


def layout(lines: Sequence[str]) -> Layout:
    """Find comments above the table, the separator, and how numbers are written.

    Examples
    --------
    >>> layout(["# made by a program", "gene;s1;s2", "TP53;1,5;2"]).options
    {'skiprows': 1, 'sep': ';', 'index_col': 0, 'decimal': ','}
    """
    skip = _n_comments(lines)
    first = lines[skip] if skip < len(lines) else ""
    separator = max("\t,;|", key=first.count)
    if separator not in first and " " in first.strip():
        separator = r"\s+"
    rows = [_cells(line, separator) for line in lines[skip:]]
    cells = [cell.strip() for row in rows[1:] for cell in row[1:]]
    options = {"skiprows": skip, "sep": separator, "index_col": 0, **_number_style(cells)}
    return Layout(options, [name.lstrip("#").strip() for name in rows[0]] if rows else [])


def _n_comments(lines: Sequence[str]) -> int:
    """Count the lines above the names: comments, and the sizes that a GCT file begins with."""
    n = next((i for i, line in enumerate(lines) if line.strip() and line[0] != "#"), 0)
    if n and lines[0].startswith("#1.") and re.fullmatch(r"\d+(\s+\d+)+\s*", lines[n]):
        return n + 1
    above = lines[n - 1] if n else ""
    separator = max("\t,;", key=lines[n].count) if lines else ","
    return n - 1 if above.count(separator) >= max(1, lines[n].count(separator)) else n


def _cells(line: str, separator: str) -> list[str]:
    if separator == r"\s+":
        return line.split()
    return next(csv.reader([line], delimiter=separator), [])


def _number_style(cells: Iterable[str]) -> dict[str, str]:
    """Tell decimal commas from commas between thousands."""
    found = [cell for cell in cells if _WITH_COMMA.fullmatch(cell)]
    if not found:
        return {}
    if all(_THOUSANDS.fullmatch(cell) for cell in found):
        return {"thousands": ","}
    dots = {"thousands": "."} if any("." in cell for cell in found) else {}
    return {"decimal": ",", **dots}


def _is_value_column(index: pd.Index) -> bool:
    """Whether what stands in the first column are values, of a table without names of rows."""
    if not pd.api.types.is_any_real_numeric_dtype(index.dtype) or not len(index):
        return False
    return bool((index != np.floor(index)).any()) or not index.is_unique


def _refuse_words(text: pd.DataFrame) -> None:
    """Refuse columns of numbers in which some cells hold a word: they would not be seen."""
    for i, name in enumerate(text.columns):
        column = text.iloc[:, i].dropna()
        numbers = pd.to_numeric(column, errors="coerce")
        if len(column) and _MOSTLY_NUMBERS <= numbers.notna().mean() < 1:
            wrong = column[numbers.isna()]
            msg = (
                f"column {name!r} has {len(wrong)} cells among {len(column)} that are no numbers, "
                f"such as {str(wrong.iloc[0])[:40]!r} in row {wrong.index[0]!r}; empty them, or "
                "fill in numbers"
            )
            raise ValueError(msg)
