"""Transfer of labels between real cohorts: ``python -m benchmarks.transfer``."""
