"""How many rows look like no known class, beside how many do so by chance."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from domainvi.errors import InputError


@dataclass(frozen=True)
class Flagged:
    """Rows whose p-value of belonging to any known class is small.

    Attributes
    ----------
    alpha
        P-value up to which a row is flagged.
    tested
        Rows that have a p-value.
    found
        Rows that are flagged.

    Examples
    --------
    >>> from domainvi.trust import Flagged
    >>> flagged = Flagged.count([0.01, 0.02, 0.03, 0.2, 0.5, 0.8, float("nan")])
    >>> flagged.found, flagged.tested, round(flagged.expected, 1), flagged.is_many
    (3, 6, 0.3, True)
    """

    #: P-value up to which rows are flagged in everything that is printed or drawn.
    ALPHA: ClassVar[float] = 0.05
    #: Times the number expected by chance, above which a caution is given.
    MANY: ClassVar[float] = 2.0

    tested: int
    found: int
    alpha: float = ALPHA

    @classmethod
    def count(cls, p_values: npt.ArrayLike, alpha: float = ALPHA) -> "Flagged":
        """Count flagged rows.

        Parameters
        ----------
        p_values
            P-values of :class:`UnknownScorer`, shape (rows,); NaN where a row was not tested.
        alpha
            P-value up to which a row is flagged.

        Returns
        -------
        Flagged
            The counts.

        Raises
        ------
        InputError
            When p-values are not one for each row.
        """
        p = np.asarray(p_values, dtype=np.float64)
        if p.ndim != 1:
            raise InputError(f"`p_values` must hold one value for each row; got shape {p.shape}.")
        return cls(int(np.isfinite(p).sum()), int((p <= alpha).sum()), alpha)

    @property
    def expected(self) -> float:
        """Rows that chance alone would flag if all belonged to known classes."""
        return self.alpha * self.tested

    @property
    def is_many(self) -> bool:
        """Whether more than twice as many rows are flagged as chance explains."""
        return self.found > self.MANY * self.expected
