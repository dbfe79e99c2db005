"""The exceptions that DomainVI raises on purpose.

Every message names the argument, shows what was got and what was expected, and says what to do.
"""

__all__ = [
    "DomainVIError",
    "GeneMatchError",
    "InputError",
    "ModelFileError",
    "NotTrainedError",
    "TrainingError",
]


class DomainVIError(Exception):
    """Base of every exception that DomainVI raises on purpose."""


class InputError(DomainVIError, ValueError):
    """Data or an argument that cannot be used; raised before anything is changed."""


class GeneMatchError(InputError):
    """Two gene lists share too few names for one to stand in for the other."""


class ModelFileError(DomainVIError, OSError):
    """A model directory that is missing, incomplete, damaged or of another format."""


class NotTrainedError(DomainVIError, RuntimeError):
    """A result was asked of a model that has not been trained."""


class TrainingError(DomainVIError, RuntimeError):
    """Training met a numerical fault, such as a loss that is not finite."""
