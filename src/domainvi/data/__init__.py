"""Data in and checked: real and synthetic cohorts, genes by name, splits, loaders, validation."""

from ._audit import Audit, audit_arrays
from ._cohorts import cohorts
from ._columns import check_domains as check_domains
from ._columns import check_labels as check_labels
from ._columns import is_labelled as is_labelled
from ._columns import is_number_column as is_number_column
from ._disk import DiskMatrix, n_bytes
from ._factors import FACTORS_KEY, RESIDUAL, Factor, confounded_pairs, factor_values, read_factors
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
from ._log_values import log_normalize as log_normalize
from ._log_values import prepare_values as prepare_values
from ._log_values import variable_genes as variable_genes
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
from ._probe import probe_components as probe_components
from ._rows import PreparedManager, PreparedRows, dense_rows, row_blocks
from ._splits import stratified_split
from ._synthetic import synthetic_cohorts
from ._synthetic_factors import synthetic_factors
from ._targets import Target
from ._validate import check_setup
from ._values import LARGEST_LOG_VALUE, check_likelihood

__all__ = [
    "FACTORS_KEY",
    "LARGEST_LOG_VALUE",
    "MODALITIES",
    "RESIDUAL",
    "ROWS_KEY",
    "TEACHER_KEY",
    "Audit",
    "Columns",
    "DiskMatrix",
    "Factor",
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
    "check_setup",
    "check_unchanged",
    "choose_modalities",
    "cohorts",
    "confounded_pairs",
    "count_empty_rows",
    "dense_rows",
    "describe_matrix",
    "factor_values",
    "flatten",
    "genes_by_modality",
    "iter_row_chunks",
    "labelled_weights",
    "matrix_kind",
    "n_bytes",
    "prepare",
    "process_number",
    "read_factors",
    "reference_order",
    "row_blocks",
    "row_loader",
    "select_matrix",
    "stratified_split",
    "synthetic_cohorts",
    "synthetic_factors",
    "to_tensors",
]
