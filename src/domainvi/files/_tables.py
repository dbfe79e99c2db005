"""Tables as text: which axis is the genes, and which columns are no values."""

from __future__ import annotations

import gzip
import logging
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

logger = logging.getLogger(__name__)

_GENE = re.compile(r"^(ENS[A-Z]*\d{6,}(\.\d+)?|(hsa|mmu|rno)-\S+|[A-Z][A-Za-z]*\d*[A-Z0-9-]{1,9})$")
# Names of one axis must look like genes more often by this share, or its length decides.
_CLEARLY = 0.2


def table(path: Path) -> AnnData:
    """Read a csv or tsv, gzipped or not, with genes in rows or in columns; the log says which.

    Columns of text beside the values become columns of ``obs`` where rows are samples, and of
    ``var`` where they are genes.
    """
    import anndata as ad

    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt") if packed else path.open() as text:
        first = text.readline()
    separator = max("\t,;", key=first.count)
    compression = "gzip" if packed else None
    frame = pd.read_csv(path, sep=separator, index_col=0, compression=compression)
    frame.index, frame.columns = frame.index.astype(str), frame.columns.astype(str)
    is_value = np.array([pd.api.types.is_any_real_numeric_dtype(t) for t in frame.dtypes])
    if not is_value.any() or frame.empty:
        msg = f"it has no column of numbers among {frame.shape[1]}"
        raise ValueError(msg)
    values, text_columns = frame.loc[:, is_value], frame.loc[:, ~is_value]
    in_rows = genes_in_rows(values)
    where = "rows" if in_rows else "columns"
    logger.info("%s: read as a csv table with genes in %s.", path.name, where)
    x = values.to_numpy(dtype=np.float32)
    if in_rows:
        return ad.AnnData(x.T, obs=pd.DataFrame(index=values.columns), var=text_columns)
    return ad.AnnData(x, obs=text_columns, var=pd.DataFrame(index=values.columns))


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
