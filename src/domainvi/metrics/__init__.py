"""Figures of merit for label transfer: arrays in, floats out.

Nothing here knows of AnnData or of a model, so the same function scores DomainVI, a logistic
regression or a table of predictions read from elsewhere. All raise
:class:`~domainvi.errors.InputError` when shapes differ, arrays are empty or values out of range.
"""

from ._association import (
    class_mix,
    cramers_v,
    domain_only_macro_f1,
    jensen_shannon_divergence,
    majority_macro_f1,
    mixing_error_bound,
    normalised_mutual_information,
)
from ._predictions import (
    LevelAccuracy,
    ReliabilityCurve,
    accuracy,
    area_under_risk_coverage,
    auroc,
    balanced_accuracy,
    brier,
    expected_calibration_error,
    fpr_at_95_tpr,
    level_accuracy,
    macro_f1,
    negative_log_likelihood,
    negative_transfer_rate,
    per_class_recall,
    reliability_curve,
    risk_coverage_curve,
)
from ._probes import (
    DomainProbe,
    FactorProbe,
    domain_probe,
    factor_probe,
    joint_probe,
    proxy_a_distance,
    rows_to_probe,
)

__all__ = [
    "DomainProbe",
    "FactorProbe",
    "LevelAccuracy",
    "ReliabilityCurve",
    "accuracy",
    "area_under_risk_coverage",
    "auroc",
    "balanced_accuracy",
    "brier",
    "class_mix",
    "cramers_v",
    "domain_only_macro_f1",
    "domain_probe",
    "expected_calibration_error",
    "factor_probe",
    "fpr_at_95_tpr",
    "jensen_shannon_divergence",
    "joint_probe",
    "level_accuracy",
    "macro_f1",
    "majority_macro_f1",
    "mixing_error_bound",
    "negative_log_likelihood",
    "negative_transfer_rate",
    "normalised_mutual_information",
    "per_class_recall",
    "proxy_a_distance",
    "reliability_curve",
    "risk_coverage_curve",
    "rows_to_probe",
]
