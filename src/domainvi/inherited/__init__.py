"""Methods that models of scvi-tools promise besides training and latents, on our decoders."""

from ._differential import compare_means, differential_expression
from ._from_scvi import from_scvi_model
from ._names import INSTEAD, METHODS, explained, missing
from ._posterior import aggregated_posterior, differential_abundance, marginal_likelihood
from ._views import view_arguments, view_setup

__all__ = [
    "INSTEAD",
    "METHODS",
    "aggregated_posterior",
    "compare_means",
    "differential_abundance",
    "differential_expression",
    "explained",
    "from_scvi_model",
    "marginal_likelihood",
    "missing",
    "view_arguments",
    "view_setup",
]
