"""Folders with ``matrix.mtx``, as CellRanger, STARsolo, alevin and people with gzip leave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_EXPRESSION = "Gene Expression"
_PARTS = {"genes": ("features.tsv", "genes.tsv"), "cells": ("barcodes.tsv",)}


def matrix_folder(path: Path) -> AnnData:
    """Read a matrix with its names of genes and cells, each gzipped or not, of whatever version.

    Rows are genes; a matrix of cells by genes is turned. Where the genes have a third column, only
    those of gene expression are kept.
    """
    import anndata as ad
    from scipy import sparse
    from scipy.io import mmread

    found = sorted(path.glob("*matrix.mtx*"))
    if len(found) > 1 and len({file.name.removesuffix(".gz") for file in found}) > 1:
        names = ", ".join(file.name for file in found)
        msg = f"it holds {len(found)} matrices, {names}; give each a folder of its own"
        raise ValueError(msg)
    prefix = found[0].name.split("matrix.mtx")[0]
    genes, cells = (_names(path, prefix, *_PARTS[part]) for part in ("genes", "cells"))
    matrix = sparse.csr_matrix(mmread(found[0]))
    if matrix.shape == (len(cells), len(genes)) and len(cells) != len(genes):
        matrix = matrix.T
    if matrix.shape != (len(genes), len(cells)):
        msg = (
            f"its matrix has shape {matrix.shape}, and there are names of {len(genes)} genes and "
            f"{len(cells)} cells"
        )
        raise ValueError(msg)
    x = sparse.csr_matrix(matrix.T, dtype=np.float32)
    var = genes.iloc[:, 1:2].set_axis(["gene_symbols"][: genes.shape[1] - 1], axis=1)
    adata = ad.AnnData(x, obs=pd.DataFrame(index=cells.index), var=var)
    if genes.shape[1] > 2 and (genes[2] == _EXPRESSION).any():
        return adata[:, (genes[2] == _EXPRESSION).to_numpy()].copy()
    return adata


def _names(path: Path, prefix: str, *kinds: str) -> pd.DataFrame:
    """Read the file of that name that there is; its first column is the index."""
    for kind in kinds:
        for ending in (".gz", ""):
            file = path / f"{prefix}{kind}{ending}"
            if file.exists():
                frame = pd.read_csv(file, sep="\t", header=None, dtype=str, keep_default_na=False)
                return frame.set_axis(frame[0].to_numpy())
    msg = f"it has no {' or '.join(f'{prefix}{kind}' for kind in kinds)} beside the matrix"
    raise ValueError(msg)
