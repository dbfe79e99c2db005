"""Data in and checked: real and synthetic cohorts, genes by name, splits, loaders, validation."""

from ._audit import Audit, audit_arrays
from ._cohorts import cohorts
from ._columns import check_names, check_numbers, check_spread, column_levels, is_number_column
from ._disk import DiskMatrix, n_bytes
from ._genes import GeneAlignment, align_genes
from ._loaders import (
    ROWS_KEY,
    TEACHER_KEY,
    TransferDataModule,
    TransferSampler,
    labelled_weights,
    process_number,
    row_loader,
    to_tensors,
)
from ._matrix import (
    MatrixKind,
    MatrixSummary,
    count_empty_rows,
    describe_matrix,
    iter_row_chunks,
    matrix_kind,
    select_matrix,
)
from ._prepare import (
    MODALITIES,
    Columns,
    PreparedAnnData,
    check_unchanged,
    prepare,
    reference_order,
)
from ._prepare_mudata import (
    choose_modalities,
    flatten,
    genes_by_modality,
)
from ._rows import PreparedManager, PreparedRows, dense_rows, row_blocks
from ._splits import stratified_split
from ._synthetic import synthetic_cohorts
from ._synthetic_factors import synthetic_factors
from ._targets import Target
from ._validate import check_setup
from ._values import LARGEST_LOG_VALUE, check_likelihood

__all__ = [
    "LARGEST_LOG_VALUE",
    "MODALITIES",
    "ROWS_KEY",
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
    "Target",
    "TransferDataModule",
    "TransferSampler",
    "align_genes",
    "audit_arrays",
    "check_likelihood",
    "check_names",
    "check_numbers",
    "check_setup",
    "check_spread",
    "check_unchanged",
    "choose_modalities",
    "cohorts",
    "column_levels",
    "count_empty_rows",
    "dense_rows",
    "describe_matrix",
    "flatten",
    "genes_by_modality",
    "is_number_column",
    "iter_row_chunks",
    "labelled_weights",
    "matrix_kind",
    "n_bytes",
    "prepare",
    "process_number",
    "reference_order",
    "row_blocks",
    "row_loader",
    "select_matrix",
    "stratified_split",
    "synthetic_cohorts",
    "synthetic_factors",
    "to_tensors",
]
