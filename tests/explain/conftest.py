"""A small trained model, made once."""

from tests.model.conftest import QUIET, adata, fit, model, small_cohorts

__all__ = ["QUIET", "adata", "fit", "model", "small_cohorts"]
