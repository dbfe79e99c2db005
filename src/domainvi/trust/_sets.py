"""Prediction sets: the classes that a row may have, the right one among them as often as stated."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from domainvi._checks import FloatArray, IntArray


@dataclass(frozen=True)
class PredictionSets:
    r"""Turns class probabilities into sets of classes, calibrated on rows with held-out labels.

    The set of a row holds each class whose probability is at least :math:`1 - q`, and always the
    likeliest one. With scores :math:`s_i = 1 - p_{i y_i}` of calibration rows, whose probabilities
    did not see their labels, and weights :math:`w_i`, the level is

    .. math:: q = \min \Bigl\{ s : \sum_{s_i \le s} w_i \ge
              (1 - \alpha) \Bigl(1 + \sum_i w_i\Bigr) \Bigr\}

    (Sadinle, Lei and Wasserman, JASA 2019; weights for shifted class proportions: Podkopaev and
    Ramdas, UAI 2021). A row that is exchangeable with the calibration rows has its class in its set
    with probability :math:`1 - \alpha` or more.

    Calibration rows are those of the row's own domain, where it has as many as :math:`\alpha`
    needs, :math:`1 / \alpha - 1`, and otherwise those of all domains. For a domain without labels
    nothing is promised: its rows need not be like any of these.

    Parameters
    ----------
    score
        Scores of the calibration rows.
    domain
        Their domain codes.
    weight
        Their weights, one on average in each domain.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = rng.integers(2, size=400)
    >>> p = 0.05 + 0.9 * np.eye(2)[np.where(rng.random(400) < 0.8, label, 1 - label)]
    >>> sets = PredictionSets.fit(p, label, np.zeros(400, dtype=int))
    >>> sets.contains(np.array([[0.95, 0.05]]), np.array([0]), 0.3).tolist()
    [[True, False]]
    >>> sets.contains(np.array([[0.95, 0.05]]), np.array([0]), 0.1).tolist()
    [[True, True]]
    """

    score: FloatArray
    domain: IntArray
    weight: FloatArray

    @classmethod
    def fit(
        cls, p: FloatArray, label: IntArray, domain: IntArray, prior: FloatArray | None = None
    ) -> PredictionSets:
        """Calibrate on rows whose labels the probabilities did not see.

        Parameters
        ----------
        p, label, domain
            Probabilities of shape ``(n_rows, n_classes)``, class codes and domain codes.
        prior
            Class proportions of each domain, ``(n_domains, n_classes)``, to which its labelled rows
            are weighted; NaN where they are taken as they come.
        """
        weight = np.ones(len(label))
        for d in np.unique(domain):
            if prior is not None and np.isfinite(prior[d]).all():
                own = domain == d
                w = prior[d, label[own]] / np.bincount(label[own])[label[own]]
                weight[own] = w / w.mean()
        return cls(1 - p[np.arange(len(label)), label], domain, weight)

    def contains(self, p: FloatArray, domain: IntArray, alpha: float) -> NDArray[np.bool_]:
        """Whether a class is in the set of a row, shape ``(n_rows, n_classes)``.

        Parameters
        ----------
        p
            Probabilities of rows, zero for classes that cannot be there.
        domain
            Their domain codes.
        alpha
            Share of rows whose set may lack the right class.
        """
        check_set_alpha(alpha)
        needed, n = rows_needed(alpha), len(self.score)
        if n < needed:
            msg = (
                f"Prediction sets at alpha={alpha:g} need {needed} labelled rows to calibrate on, "
                f"and the model has {n}. Take an alpha of {np.ceil(1e3 / (n + 1)) / 1e3:g} or "
                "more, or train with more labelled rows."
            )
            raise InputError(msg)
        out = np.zeros(p.shape, dtype=bool)
        for d in np.unique(domain):
            used = self.domain == d if self.has_own(d, alpha) else np.ones(n, dtype=bool)
            level = self._level(used, alpha)
            rows = domain == d
            # Rounding in single precision must not lose the class that sets the level.
            out[rows] = (p[rows] > 0) & (1 - p[rows] <= level + 1e-6)
        out[np.arange(len(p)), p.argmax(axis=1)] = True
        return out

    def has_own(self, domain: int, alpha: float) -> bool:
        """Whether a domain has as many calibration rows of its own as ``alpha`` needs."""
        return bool((self.domain == domain).sum() >= rows_needed(alpha))

    def promise(self, alpha: float, domains: Mapping[int, str]) -> str:
        """Say what coverage is stated, and for which domains it is not promised.

        Parameters
        ----------
        alpha
            Share of rows whose set may lack the right class.
        domains
            Names by code.
        """
        others = [name for d, name in domains.items() if not self.has_own(d, alpha)]
        text = f"Sets state that they hold the right class in {1 - alpha:.1%} of the rows"
        if not others:
            return f"{text}, by the labels of each cohort."
        names = f"{', '.join(others[:5])}{' and others' if len(others) > 5 else ''}"
        return (
            f"{text}, of cohorts like the {len(self.score)} labelled rows that they were "
            f"calibrated on. It is not promised for {names}, with fewer than "
            f"{rows_needed(alpha)} labels: label some rows at random to have it measured."
        )

    def _level(self, rows: NDArray[np.bool_], alpha: float) -> float:
        order = np.argsort(self.score[rows], kind="stable")
        reached = np.cumsum(self.weight[rows][order])
        place = np.searchsorted(reached, (1 - alpha) * (reached[-1] + 1) - 1e-9)
        return float(self.score[rows][order][min(place, len(order) - 1)])

    def to_arrays(self) -> dict[str, FloatArray | IntArray]:
        """Return everything as numeric arrays by name, for a file without pickle."""
        return dict(vars(self))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> PredictionSets:
        """Return the sets that :meth:`to_arrays` described; a ValueError if they do not fit."""
        values = [np.asarray(arrays[f.name]) for f in fields(cls)]
        shapes = {v.shape for v in values}
        if len(shapes) > 1 or values[0].ndim != 1 or not all(np.isfinite(v).all() for v in values):
            msg = f"prediction sets have arrays of shapes {sorted(shapes)}, or values are missing"
            raise ValueError(msg)
        return cls(*values)


def rows_needed(alpha: float) -> int:
    """Calibration rows without which a set would have to hold every class.

    Examples
    --------
    >>> rows_needed(0.1), rows_needed(0.05)
    (9, 19)
    """
    return int(np.ceil(1 / alpha - 1 - 1e-9))


def check_set_alpha(alpha: float, name: str = "alpha") -> None:
    """Refuse what is no share between 0 and 1."""
    if not isinstance(alpha, Real) or isinstance(alpha, bool) or not 0 < alpha < 1:
        msg = (
            f"{name}={alpha!r} must be a number above 0 and below 1, such as 0.1 for sets that "
            "hold the right class in 9 rows of 10."
        )
        raise InputError(msg)
