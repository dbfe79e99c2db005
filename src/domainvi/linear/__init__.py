"""Linear experts on expression values: numpy arrays in, numpy arrays out."""

from ._centring import Centring, class_sums, fit_centring
from ._composition import ClassMoments, consensus
from ._cotraining import LinearEnsembleFit, fit_linear_ensemble
from ._members import LinearMember, components, logistic
from ._phenotypes import LinearPhenotype, fit_class_phenotype, fit_numeric_phenotype
from ._row_experts import RowExperts
from ._rows import (
    FEW_CLASSES,
    MAX_ROWS,
    OpenClasses,
    TrainingRows,
    blocks,
    class_support,
    rows_for,
    source_domains,
    subsample,
)
from ._statistics import (
    MIN_SCALE,
    N_TOP_GENES,
    ScalingStatistics,
    domain_statistics,
    leading_genes,
    moments,
    safe_scale,
    source_statistics,
    standardise,
)

__all__ = [
    "FEW_CLASSES",
    "MAX_ROWS",
    "MIN_SCALE",
    "N_TOP_GENES",
    "Centring",
    "ClassMoments",
    "LinearEnsembleFit",
    "LinearMember",
    "LinearPhenotype",
    "OpenClasses",
    "RowExperts",
    "ScalingStatistics",
    "TrainingRows",
    "blocks",
    "class_support",
    "components",
    "consensus",
    "domain_statistics",
    "class_sums",
    "fit_centring",
    "fit_class_phenotype",
    "fit_linear_ensemble",
    "fit_numeric_phenotype",
    "leading_genes",
    "logistic",
    "moments",
    "rows_for",
    "safe_scale",
    "source_domains",
    "source_statistics",
    "standardise",
    "subsample",
]
