"""Data in and checked: real and synthetic cohorts, genes by name, splits, loaders, validation."""

from ._audit import Audit, audit_arrays
from ._cohorts import cohorts
from ._disk import DiskMatrix, n_bytes
from ._genes import GeneAlignment, align_genes
from ._loaders import TEACHER_KEY, TransferDataModule, labelled_weights, row_loader, to_tensors
from ._matrix import (
    MatrixKind,
    MatrixSummary,
    describe_matrix,
    iter_row_chunks,
    matrix_kind,
    select_matrix,
)
from ._prepare import Columns, PreparedAnnData, prepare, reference_order
from ._rows import PreparedManager, PreparedRows, dense_rows, row_blocks
from ._splits import stratified_split
from ._synthetic import synthetic_cohorts
from ._validate import check_setup
from ._values import LARGEST_LOG_VALUE, check_likelihood

__all__ = [
    "LARGEST_LOG_VALUE",
    "TEACHER_KEY",
    "Audit",
    "Columns",
    "DiskMatrix",
    "GeneAlignment",
    "MatrixKind",
    "MatrixSummary",
    "PreparedAnnData",
    "PreparedManager",
    "PreparedRows",
    "TransferDataModule",
    "align_genes",
    "audit_arrays",
    "check_likelihood",
    "check_setup",
    "cohorts",
    "dense_rows",
    "describe_matrix",
    "iter_row_chunks",
    "labelled_weights",
    "matrix_kind",
    "n_bytes",
    "prepare",
    "reference_order",
    "row_blocks",
    "row_loader",
    "select_matrix",
    "stratified_split",
    "synthetic_cohorts",
    "to_tensors",
]
