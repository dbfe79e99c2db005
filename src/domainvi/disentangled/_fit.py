"""What training leaves on a model beside its weights: one object, saved and loaded as one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from domainvi.trust import Calibrator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._factors import Factor


@dataclass(frozen=True)
class TrainingArguments:
    """Arguments of a training that decide its result.

    Parameters
    ----------
    max_epochs
        Passes over the training rows.
    train_size
        Share of rows to train on.
    batch_size
        Rows a step.
    early_stopping
        Whether training stops when the loss of held-out rows no longer improves.
    plan_kwargs
        Arguments of the training plan.
    """

    max_epochs: int
    train_size: float
    batch_size: int
    early_stopping: bool
    plan_kwargs: dict[str, Any]


@dataclass(frozen=True)
class DisentangledFit:
    """What was fitted to the rows of training; a new training replaces it.

    The map that takes foreign factors out of the latents belongs to the module
    (``DisentangledVAE.erasure``) and is saved with its weights.

    Parameters
    ----------
    is_scaled
        Whether input scaling and starting values of the module are set.
    errors
        Standard error of each factor that is a number.
    calibrations
        Calibration of the probabilities of each factor with levels.
    training
        Arguments of the last training, to repeat it from another seed.
    """

    is_scaled: bool = False
    errors: dict[str, float] = field(default_factory=dict)
    calibrations: dict[str, Calibrator] = field(default_factory=dict)
    training: TrainingArguments | None = None

    def to_file(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        return {
            "is_scaled": self.is_scaled,
            "errors": self.errors,
            "calibrations": {name: c.to_dict() for name, c in self.calibrations.items()},
            "training": None if self.training is None else asdict(self.training),
        }

    @classmethod
    def from_file(cls, values: Mapping[str, Any], factors: Sequence[Factor]) -> DisentangledFit:
        """Undo :meth:`to_file`, and refuse what does not fit the factors."""
        errors = {name: float(error) for name, error in values["errors"].items()}
        calibrations = {n: Calibrator.from_dict(c) for n, c in values["calibrations"].items()}
        if found := errors.keys() | calibrations.keys():
            numbers = {f.name for f in factors if f.is_numeric}
            levels = {f.name for f in factors if not f.is_numeric}
            if errors.keys() != numbers or calibrations.keys() != levels:
                msg = f"errors and calibrations of {sorted(found)!s:.80}, not of the factors"
                raise ValueError(msg)
        training = values["training"]
        return cls(
            bool(values["is_scaled"]),
            errors,
            calibrations,
            None if training is None else TrainingArguments(**training),
        )
