"""What the pretraining tests share: a fixed torch seed, small cohorts and a small trained model."""

from tests.model.conftest import QUIET, adata, model, small_cohorts
from tests.train.conftest import SMALL, cohorts, seeded

__all__ = ["QUIET", "SMALL", "adata", "cohorts", "model", "seeded", "small_cohorts"]
