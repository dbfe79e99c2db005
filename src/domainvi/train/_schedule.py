"""How weights move during training, as functions of the share of the steps that is done."""

from __future__ import annotations

import math


def ramp(progress: float, start: float = 0.2, steepness: float = 10.0) -> float:
    r"""Weight factor that rises from 0 to 1.

    0 until ``start``, then :math:`2 / (1 + e^{-10 p}) - 1` with :math:`p` the share of the
    remaining steps that is done (Ganin et al., JMLR 2016). The classifier has to be better than
    chance before anything is aligned by its predictions, hence the start.

    Parameters
    ----------
    progress
        Share of the training steps done, in [0, 1].
    start
        Share at which the rise begins.
    steepness
        Of the sigmoid.

    Examples
    --------
    >>> ramp(0.1), round(ramp(1.0), 3)
    (0.0, 1.0)
    """
    if progress <= start:
        return 0.0
    p = (progress - start) / (1 - start)
    return 2 / (1 + math.exp(-steepness * p)) - 1


def cosine(progress: float) -> float:
    """Learning-rate factor that falls from 1 to 0 along half a cosine.

    Parameters
    ----------
    progress
        Share of the training steps done, in [0, 1].

    Examples
    --------
    >>> cosine(0.0), cosine(0.5)
    (1.0, 0.5)
    """
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
