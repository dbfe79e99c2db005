"""Temperature scaling, with and without bias correction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from domainvi.errors import InputError
from domainvi.trust._check import FloatArray, IntArray, check_label, check_matrix

_MAX_TEMPERATURE = 100.0


@dataclass(frozen=True)
class Calibrator:
    r"""Probabilities :math:`\mathrm{softmax}(\ell / T + b)` from logits :math:`\ell`.

    Attributes
    ----------
    temperature
        :math:`T`: above 1 softens, below 1 sharpens.
    bias
        :math:`b`, one value for each class.

    Examples
    --------
    >>> Calibrator(2.0, (0.0, 0.0)).apply([[2.0, 0.0]]).round(3).tolist()
    [[0.731, 0.269]]
    """

    temperature: float
    bias: tuple[float, ...]

    @classmethod
    def identity(cls, n_classes: int) -> "Calibrator":
        """Return the calibrator that is a plain softmax.

        Parameters
        ----------
        n_classes
            Number of classes.

        Returns
        -------
        Calibrator
            Temperature 1, bias 0.

        Examples
        --------
        >>> Calibrator.identity(2)
        Calibrator(temperature=1.0, bias=(0.0, 0.0))
        """
        return cls(1.0, (0.0,) * n_classes)

    def apply(self, logits: npt.ArrayLike) -> FloatArray:
        """Return calibrated probabilities.

        Parameters
        ----------
        logits
            Shape (rows, classes).

        Returns
        -------
        numpy.ndarray
            Shape (rows, classes); rows sum to one.

        Raises
        ------
        InputError
            When the number of columns differs from the number of biases.
        """
        matrix = check_matrix(logits, "logits")
        if matrix.shape[1] != len(self.bias):
            raise InputError(
                f"`logits` has {matrix.shape[1]} columns; this calibrator was fitted to "
                f"{len(self.bias)} classes. Pass logits of the same model."
            )
        return softmax(matrix / self.temperature + np.array(self.bias), axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return values that JSON can hold.

        Returns
        -------
        dict
            Keys `temperature` and `bias`.
        """
        return {"temperature": self.temperature, "bias": list(self.bias)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibrator":
        """Return the calibrator that `to_dict` described.

        Parameters
        ----------
        values
            Keys `temperature` and `bias`.

        Returns
        -------
        Calibrator
            Equal to the one that was written.

        Examples
        --------
        >>> Calibrator.from_dict({"temperature": 2, "bias": [0, 0]})
        Calibrator(temperature=2.0, bias=(0.0, 0.0))
        """
        return cls(float(values["temperature"]), tuple(float(b) for b in values["bias"]))


def fit_calibrator(
    logits: npt.ArrayLike,
    label: npt.ArrayLike,
    *,
    method: Literal["bcts", "temperature"] = "bcts",
    sample_weight: npt.ArrayLike | None = None,
    min_temperature: float = 0.05,
    prior_scale: float = 1.0,
) -> Calibrator:
    r"""Fit a temperature, and biases, on rows that the classifier did not train on.

    Maths first: minimises
    :math:`\sum_i w_i \,(-\log \mathrm{softmax}(\ell_i / T + b)_{y_i})
    + (\log^2 T + \lVert b \rVert^2) / 2\sigma^2` under :math:`T \ge T_{\min}` by L-BFGS-B with the
    exact gradient. Without :math:`b` this is temperature scaling (Guo et al., ICML 2017); with it,
    bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar, ICML 2020), which the
    estimate of the class prior needs. Two additions are for small cohorts. The normal prior with
    scale :math:`\sigma` keeps a few separable rows from driving :math:`T` to zero; it is one row or
    so of evidence, so it fades by itself. The floor: a temperature fitted on the source sharpens,
    and where the transfer then fails the likelihood on the target gets much worse, so without
    target labels `min_temperature=1` is the value that does no harm. Classes without rows keep a
    bias of zero.

    Parameters
    ----------
    logits
        Held-out or cross-fitted logits, shape (rows, classes). Logarithms of probabilities will do.
    label
        Class codes, shape (rows,).
    method
        "bcts" or "temperature".
    sample_weight
        Weight of each row, for example the ratio of target to source class prior; scaled to mean 1.
    min_temperature
        Lower bound on the temperature.
    prior_scale
        Standard deviation of the normal prior on the log temperature and on each bias; infinity for
        none.

    Returns
    -------
    Calibrator
        Temperature and biases; the biases of the classes that have rows sum to zero.

    Raises
    ------
    InputError
        When shapes, codes, weights or arguments are not valid.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> label = rng.integers(2, size=2000)
    >>> logits = 3.0 * np.eye(2)[np.where(rng.random(2000) < 0.8, label, 1 - label)]
    >>> fitted = fit_calibrator(logits, label, method="temperature")
    >>> round(fitted.apply([[3.0, 0.0]])[0, 0].item(), 1)
    0.8
    """
    matrix = check_matrix(logits, "logits", min_columns=2)
    y = check_label(label, *matrix.shape)
    weight = _weights(sample_weight, len(y))
    if method not in ("bcts", "temperature"):
        raise InputError(f"`method` must be 'bcts' or 'temperature'; got {method!r}.")
    if not 0 < min_temperature <= _MAX_TEMPERATURE or not prior_scale > 0:
        raise InputError(
            f"`min_temperature` must be above 0 and at most {_MAX_TEMPERATURE:g}, and "
            f"`prior_scale` above 0; got {min_temperature} and {prior_scale}."
        )
    free = np.bincount(y, weight, matrix.shape[1]) > 0 if method == "bcts" else np.array([], bool)
    n_bias = int(free.sum())
    start = np.zeros(1 + n_bias)
    start[0] = max(0.0, np.log(min_temperature))
    bounds = [(np.log(min_temperature), np.log(_MAX_TEMPERATURE))] + [(-20.0, 20.0)] * n_bias
    fitted = minimize(
        _loss,
        start,
        args=(matrix, y, weight, np.flatnonzero(free), prior_scale),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 500},
    )
    bias = np.zeros(matrix.shape[1])
    if n_bias:
        bias[free] = fitted.x[1:] - fitted.x[1:].mean()
    return Calibrator(float(np.exp(fitted.x[0])), tuple(bias.tolist()))


def _weights(sample_weight: npt.ArrayLike | None, n_rows: int) -> FloatArray:
    if sample_weight is None:
        return np.ones(n_rows)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_rows,) or not np.isfinite(weight).all() or weight.min() < 0:
        raise InputError(
            f"`sample_weight` must hold one finite value, zero or more, for each of the {n_rows} "
            f"rows; got shape {weight.shape}."
        )
    if weight.sum() == 0:
        raise InputError("`sample_weight` is zero everywhere; at least one row must count.")
    return weight / weight.mean()


def _loss(
    parameters: FloatArray,
    logits: FloatArray,
    label: IntArray,
    weight: FloatArray,
    free: npt.NDArray[np.intp],
    prior_scale: float,
) -> tuple[float, FloatArray]:
    """Return the penalised mean loss and its gradient in (log T, free biases)."""
    bias = np.zeros(logits.shape[1])
    bias[free] = parameters[1:]
    scaled = logits * np.exp(-parameters[0])
    log_p = log_softmax(scaled + bias, axis=1)
    rows = np.arange(len(label))
    residual = np.exp(log_p)
    residual[rows, label] -= 1
    residual *= weight[:, None]
    gradient = np.concatenate([[-(residual * scaled).sum()], residual.sum(axis=0)[free]])
    loss = -(weight * log_p[rows, label]).sum() + 0.5 * (parameters @ parameters) / prior_scale**2
    return loss / len(label), (gradient + parameters / prior_scale**2) / len(label)
