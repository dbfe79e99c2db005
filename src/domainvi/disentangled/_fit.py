"""What training leaves on a model beside its weights: fitted afterwards, saved as one object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from domainvi.model import fit_calibration
from domainvi.trust import Calibrator

from ._encode import encode, registered_values
from ._erasure import fit_erasure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._encode import Encoded
    from ._factors import Factor
    from ._module import DisentangledVAE


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
        Keyword arguments of the last training, to repeat it from another seed.
    """

    is_scaled: bool = False
    errors: dict[str, float] = field(default_factory=dict)
    calibrations: dict[str, Calibrator] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def to_file(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        calibrations = {name: c.to_dict() for name, c in self.calibrations.items()}
        return {**vars(self), "calibrations": calibrations}

    @classmethod
    def from_file(cls, values: Mapping[str, Any], factors: Sequence[Factor]) -> DisentangledFit:
        """Undo :meth:`to_file`, and refuse what does not fit the factors."""
        errors = {name: float(error) for name, error in values["errors"].items()}
        calibrations = {n: Calibrator.from_dict(c) for n, c in values["calibrations"].items()}
        if found := errors.keys() | calibrations.keys():
            numbers = {f.name for f in factors if f.is_numeric}
            levels = {f.name for f in factors} - numbers
            if errors.keys() != numbers or calibrations.keys() != levels:
                msg = f"errors and calibrations of {sorted(found)!s:.80}, not of the factors"
                raise ValueError(msg)
        return cls(bool(values["is_scaled"]), errors, calibrations, {**values["training"]})


def fit_posthoc(
    module: DisentangledVAE,
    fitted: DisentangledFit,
    prepared: PreparedAnnData,
    train_idx: NDArray[np.int64],
    val_idx: NDArray[np.int64],
    erase: bool,
) -> DisentangledFit:
    """Fit what depends on the weights that training has found."""
    if erase:
        fit_erasure(module, prepared)
    values, encoded = registered_values(prepared), encode(module, prepared)
    fit_priors(module, values, encoded)
    errors, calibrations = {}, {}
    is_held_out = np.isin(np.arange(len(values)), val_idx)
    for k, factor in enumerate(module.factors):
        score, value = encoded.scores[k], values[:, k]
        if factor.is_numeric:
            error = score[:, 0] - value
            held_out = error[val_idx][np.isfinite(error[val_idx])]
            used = held_out if held_out.size else error[train_idx]
            errors[factor.name] = float(np.sqrt(np.nanmean(used**2))) * factor.scale
        else:
            calibrations[factor.name] = fit_calibration(score, factor.codes(value), is_held_out)
    return replace(fitted, errors=errors, calibrations=calibrations)


@torch.inference_mode()
def fit_priors(module: DisentangledVAE, values: NDArray[np.float32], encoded: Encoded) -> None:
    """Set prior means to the least-squares fit of the posterior means on the metadata.

    This is what maximises the ELBO given encoder and heads.
    """
    scores = [torch.from_numpy(s) for s in encoded.scores]
    metadata = module.metadata(torch.from_numpy(values), scores)
    blocks = module.split(torch.from_numpy(encoded.mean))
    for name in module.groups:
        fit = torch.linalg.lstsq(metadata[name], blocks[name], driver="gelsd").solution
        module.get_parameter(f"priors.{name}.weight").copy_(fit.T)
    module.factor_mean.copy_(torch.cat([metadata[g].mean(dim=0) for g in module.groups]))
