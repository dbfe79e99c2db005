"""Data in and checked: real and synthetic cohorts, genes by name, splits, loaders, validation.

``__all__`` names what users call. The other names serve the rest of the package only: they can be
imported from here, and may change without notice.
"""

from ._cohorts import cohorts, synthetic_cohorts, synthetic_factors
from ._columns import (
    check_domains,
    check_labels,
    check_names,
    check_numbers,
    check_spread,
    color_list,
    column_levels,
    is_labelled,
    is_number_column,
    single_classes,
)
from ._disk import POOL_ROWS, POOL_VALUES
from ._gene_names import gene_forms, match_genes
from ._genes import GeneAlignment, align_genes
from ._join import check_scales, common_names, join_references, label_columns, renamed, shared_genes
from ._label_tree import LabelTree, find_tree, label_levels
from ._loaders import (
    ROWS_KEY,
    SMALLEST_CAP,
    TEACHER_KEY,
    TransferDataModule,
    TransferSampler,
    labelled_weights,
    process_number,
    row_loader,
    stratified_split,
    to_tensors,
    trains_with_others,
)
from ._matrix import (
    LARGEST_LOG_VALUE,
    MatrixSummary,
    array_digest,
    check_likelihood,
    count_empty_rows,
    dense_rows,
    describe_matrix,
    fraction_hint,
    in_memory,
    log_normalize,
    matrix_digest,
    prepare_values,
    raw_hint,
    rows_are_alike,
    select_matrix,
    variable_genes,
)
from ._mudata import choose_modalities, flat_mudata, flatten
from ._prepare import (
    MODALITIES,
    ONE_DOMAIN,
    Columns,
    Phenotype,
    PreparedAnnData,
    ScalingNote,
    check_unchanged,
    genes_by_modality,
    prepare,
    reference_order,
    warn_of_missing,
)
from ._rows import PreparedManager, PreparedRows, row_blocks, row_ids, validate_row_ids
from ._split import check_split, hide_test_rows, split_arguments, split_rows
from ._validate import check_expression, check_setup
from ._words import bare_name, clean_names, is_missing_word

# Public; the other names are for the subpackages of DomainVI.
__all__ = [
    "GeneAlignment",
    "LabelTree",
    "align_genes",
    "cohorts",
    "join_references",
    "synthetic_cohorts",
    "synthetic_factors",
]
