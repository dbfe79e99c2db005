"""Calibration and unknown score from the outputs of a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from domainvi.trust import Calibrator, UnknownScorer, fit_calibrator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._inference import RowOutputs

MIN_ROWS = 10


def fit_calibration(
    logits: NDArray[np.float32], label: NDArray[np.int64], held_out: NDArray[np.bool_]
) -> Calibrator:
    """One temperature, at least 1, from the labelled rows that were held out.

    Held-out rows come from the same cohorts as the labels, so they may soften probabilities but
    not sharpen them for other cohorts.
    """
    used = held_out & (label >= 0)
    if used.sum() < MIN_ROWS:
        return Calibrator.identity(logits.shape[1])
    return fit_calibrator(logits[used], label[used], method="temperature", min_temperature=1.0)


def unknown_spaces(out: RowOutputs) -> dict[str, NDArray[np.float32]]:
    """Spaces in which a row can be far from every class, un-centred and un-adapted.

    Centring moves whatever is called a class to where that class is, and alignment can do so too.
    """
    return {"latent": out.mean, "reference": out.reference}


def fit_unknown(
    out: RowOutputs, label: NDArray[np.int64], domain: NDArray[np.int64], seed: int
) -> UnknownScorer | None:
    """Unknown score from all labelled rows; ``None`` when there are too few of them."""
    used = label >= 0
    count = np.bincount(label[used])
    if used.sum() < MIN_ROWS or (count > 1).sum() < 2:
        return None
    return UnknownScorer.fit(
        {name: z[used] for name, z in unknown_spaces(out).items()},
        label[used],
        out.linear[used],
        domain=domain[used],
        seed=seed,
    )
