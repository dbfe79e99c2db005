"""Temperature scaling: probabilities that come true as often as they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from domainvi._checks import FloatArray, IntArray

_MAX_TEMPERATURE = 100.0
_ROWS_AT_ONCE = 16_384


def row_softmax(logits: ArrayLike, temperature: float = 1.0) -> FloatArray:
    r"""Softmax of each row of :math:`\ell / T` in double precision.

    Some rows at a time, since intermediate values of all would take several times the memory of the
    result.
    """
    logits = np.asarray(logits)
    out = np.empty(logits.shape)
    for start in range(0, len(logits), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        out[rows] = softmax(logits[rows].astype(np.float64) / temperature, axis=1)
    return out


@dataclass(frozen=True)
class Calibrator:
    r"""Probabilities :math:`\mathrm{softmax}(\ell / T)` from logits :math:`\ell`.

    Parameters
    ----------
    temperature
        :math:`T`: above 1 softens, below 1 sharpens; 1 is a plain softmax.

    Examples
    --------
    >>> Calibrator(2.0).apply([[2.0, 0.0]]).round(3).tolist()
    [[0.731, 0.269]]
    """

    temperature: float = 1.0

    def apply(self, logits: ArrayLike) -> FloatArray:
        """Return calibrated probabilities of logits, both of shape (rows, classes)."""
        return row_softmax(logits, self.temperature)

    def to_dict(self) -> dict[str, float]:
        """Return values that JSON can hold."""
        return {"temperature": self.temperature}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibrator:
        """Return the calibrator that :meth:`to_dict` described."""
        temperature = float(values["temperature"])
        if not 0 < temperature < np.inf:
            msg = f"temperature {temperature} is not above 0 and finite"
            raise ValueError(msg)
        return cls(temperature)


def fit_calibrator(
    logits: ArrayLike,
    label: IntArray,
    *,
    sample_weight: FloatArray | None = None,
    min_temperature: float = 0.05,
) -> Calibrator:
    r"""Fit a temperature on rows that the classifier did not train on.

    Minimises :math:`\sum_i w_i \,(-\log \mathrm{softmax}(\ell_i / T)_{y_i}) + \tfrac12 \log^2 T`
    under :math:`T \ge T_{\min}` by L-BFGS-B with the exact gradient: temperature scaling (Guo et
    al., ICML 2017) with two additions for small cohorts. The normal prior on the logarithm keeps a
    few separable rows from driving :math:`T` to zero; it is one row or so of evidence, so it fades
    by itself. The floor: a temperature fitted on the source sharpens, and where the transfer then
    fails the likelihood on the target gets much worse, so without target labels
    ``min_temperature=1`` is the value that does no harm.

    Parameters
    ----------
    logits, label
        Held-out or cross-fitted logits, and class codes. Logarithms of probabilities will do.
    sample_weight
        Weight of each row, zero or more; scaled to mean 1.
    min_temperature
        Lower bound on the temperature.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = rng.integers(2, size=2000)
    >>> logits = 3.0 * np.eye(2)[np.where(rng.random(2000) < 0.8, label, 1 - label)]
    >>> round(fit_calibrator(logits, label).apply([[3.0, 0.0]])[0, 0].item(), 1)
    0.8
    """
    weight = np.ones(len(label)) if sample_weight is None else sample_weight / sample_weight.mean()
    fitted = minimize(
        _loss,
        [max(0.0, np.log(min_temperature))],
        args=(np.asarray(logits, dtype=np.float64), label, weight),
        jac=True,
        method="L-BFGS-B",
        bounds=[(np.log(min_temperature), np.log(_MAX_TEMPERATURE))],
    )
    return Calibrator(float(np.exp(fitted.x[0])))


def _loss(
    parameters: FloatArray, logits: FloatArray, label: IntArray, weight: FloatArray
) -> tuple[float, FloatArray]:
    """Return the penalised mean loss and its gradient in the logarithm of the temperature."""
    scaled = logits * np.exp(-parameters[0])
    log_p = log_softmax(scaled, axis=1)
    rows = np.arange(len(label))
    residual = np.exp(log_p)
    residual[rows, label] -= 1
    residual *= weight[:, None]
    gradient = parameters - (residual * scaled).sum()
    loss = -(weight * log_p[rows, label]).sum() + 0.5 * (parameters @ parameters)
    return loss / len(label), gradient / len(label)
