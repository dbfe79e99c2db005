"""Linear experts on expression values: numpy arrays in, numpy arrays out."""

from ._centring import Centring, fit_centring
from ._cotraining import LinearEnsembleFit, fit_linear_ensemble
from ._members import LinearMember, components, logistic
from ._phenotypes import LinearPhenotype, fit_class_phenotype, fit_numeric_phenotype
from ._rows import TrainingRows, blocks, class_support, source_domains, subsample
from ._statistics import (
    MIN_SCALE,
    ScalingStatistics,
    domain_statistics,
    leading_genes,
    source_statistics,
    standardise,
)

__all__ = [
    "MIN_SCALE",
    "Centring",
    "LinearEnsembleFit",
    "LinearMember",
    "LinearPhenotype",
    "ScalingStatistics",
    "TrainingRows",
    "blocks",
    "class_support",
    "components",
    "domain_statistics",
    "fit_centring",
    "fit_class_phenotype",
    "fit_linear_ensemble",
    "fit_numeric_phenotype",
    "leading_genes",
    "logistic",
    "source_domains",
    "source_statistics",
    "standardise",
    "subsample",
]
