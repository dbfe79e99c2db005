"""The parts of the score for unknown classes: energy, common scale, folds and checks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from domainvi.errors import InputError
from domainvi.trust._check import FloatArray, IntArray, check_matrix

# Fewer rows than this give no class a scale of its own.
_MIN_CLASS_ROWS = 5
ENERGY = "energy"


@dataclass(frozen=True)
class Scale:
    """Location and spread of one score for every predicted class."""

    location: FloatArray
    spread: FloatArray

    @classmethod
    def fit(cls, score: FloatArray, predicted: IntArray, n_classes: int, own: float) -> "Scale":
        """Take median and upper spread by class, each drawn part of the way to the common ones."""
        location, spread = np.full((2, n_classes), _median_spread(score)[:, None])
        for c in range(n_classes):
            part = score[predicted == c]
            if len(part) < _MIN_CLASS_ROWS:
                continue
            m, s = _median_spread(part)
            location[c] += own * (m - location[c])
            if s > 0:
                spread[c] *= (s / spread[c]) ** own
        return cls(location, spread)

    def apply(self, score: FloatArray, predicted: IntArray) -> FloatArray:
        """Return the score in units of the spread of the predicted class."""
        return (score - self.location[predicted]) / self.spread[predicted]


def _median_spread(score: FloatArray) -> FloatArray:
    median, upper = np.quantile(score, [0.5, 0.9])
    return np.array([median, upper - median if upper > median else 1.0])


def energy(logits: FloatArray) -> FloatArray:
    """Return the energy of each row: high between the classes."""
    # Logits are known up to a constant by row; centred rows make the energy free of it.
    return -logsumexp(logits - logits.mean(axis=1, keepdims=True), axis=1)


def combine(scores: dict[str, FloatArray]) -> FloatArray:
    """Add the energy and the mean of the distances."""
    distance = [v for k, v in scores.items() if k != ENERGY]
    return scores[ENERGY] + np.mean(distance, axis=0)


def check_spaces(spaces: Mapping[str, npt.ArrayLike], n_rows: int) -> dict[str, FloatArray]:
    """Return every space as a finite matrix with the rows of the logits."""
    bad = [k for k in spaces if "/" in k or k in ("", ENERGY)]
    if not spaces or bad:
        raise InputError(
            "`spaces` must hold one space or more, by names without '/' and other than "
            f"{ENERGY!r}; got {list(spaces)}."
        )
    out = {k: check_matrix(z, f"spaces[{k!r}]") for k, z in spaces.items()}
    for name, z in out.items():
        if len(z) != n_rows:
            raise InputError(f"`spaces[{name!r}]` has {len(z)} rows; `logits` has {n_rows}.")
    return out


def check_arguments(label: IntArray, n_splits: int, class_weight: float, quantile: float) -> None:
    """Refuse what cannot be fitted."""
    n_classes = len(np.unique(label))
    if n_classes < 2 or n_splits < 2 or len(label) < 2 * n_splits:
        raise InputError(
            "`label` must hold two classes or more, and two rows or more for each of the "
            f"`n_splits` folds (two or more); got {n_classes} classes, {len(label)} rows and "
            f"{n_splits} folds."
        )
    if not 0 <= class_weight <= 1 or not 0 < quantile < 1:
        raise InputError(
            "`class_weight` must be from 0 to 1 and `quantile` between 0 and 1; got "
            f"{class_weight} and {quantile}."
        )


def deal_folds(
    label: IntArray, groups: npt.ArrayLike | None, n_splits: int, rng: np.random.Generator
) -> IntArray:
    """Deal rows, or whole groups, to folds class by class, so that small classes spread evenly."""
    unit = np.arange(len(label)) if groups is None else np.asarray(groups)
    if unit.shape != label.shape:
        raise InputError(
            f"`groups` must hold one value for each of the {len(label)} rows; got shape "
            f"{unit.shape}."
        )
    _, first, index = np.unique(unit, return_index=True, return_inverse=True)
    order = np.lexsort((rng.random(len(first)), label[first]))
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % n_splits
    return fold[index]
