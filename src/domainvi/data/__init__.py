"""Data in and checked: real and synthetic cohorts, genes by name, splits, loaders, validation."""

from ._audit import Audit, audit_arrays
from ._cohorts import cohorts
from ._columns import check_domains, check_labels, is_labelled, is_number_column
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
from ._log_values import log_normalize, prepare_values, variable_genes
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
from ._probe import probe_components
from ._rows import PreparedManager, PreparedRows, dense_rows, row_blocks
from ._splits import stratified_split
from ._synthetic import synthetic_cohorts
from ._synthetic_factors import synthetic_factors
from ._targets import Target
from ._validate import check_setup
from ._values import LARGEST_LOG_VALUE, check_likelihood

# Public; the other names are for the subpackages of DomainVI.
__all__ = [
    "GeneAlignment",
    "align_genes",
    "cohorts",
    "synthetic_cohorts",
    "synthetic_factors",
]
