"""Plot losses by epoch, and whether the adversary can still tell the cohorts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from domainvi.errors import InputError, NotTrainedError

from ._canvas import BLUE, GREY, ORANGE, canvases, finish, tidy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_TERMS = ("loss", "reconstruction_loss", "classification_loss", "domain_accuracy", "domain_probe")
_STAGES = {"train": (BLUE, "-", "training rows"), "validation": (ORANGE, "--", "held-out rows")}


def training_curves(
    model: Any,
    *,
    terms: Sequence[str] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw the terms of the loss, and how well the domain is found against chance, by epoch.

    ``domain_accuracy`` is that of the player, the head which is trained against the encoder;
    ``domain_probe`` is that of the referee, a probe which is fitted afresh within classes, and the
    one to read. Where nothing is left to find it is at chance, the grey line.

    Parameters
    ----------
    model
        A trained model, or its ``history``.
    terms
        Columns of the history without their ending ``_train`` or ``_validation``, one panel each;
        ``"loss"`` is the whole. By default the loss, its reconstruction and classification, the
        domain accuracy and the domain probe, as far as the history has them.
    ax
        Axes to draw on, one for each term; a new figure if ``None``.
    show
        Whether to open a window; ``None`` does so for a new figure where there are windows.
    save
        File to write the figure to.

    Returns
    -------
    Array of axes, one for each term.

    Raises
    ------
    NotTrainedError
        If there is no history.
    InputError
        If the history lacks a term, or ``ax`` has another number of axes.

    Examples
    --------
    >>> axes = dv.pl.training_curves(model)
    >>> axes[-1].get_ylabel()
    'domain probe'
    """
    history: Mapping[str, pd.DataFrame] | None = getattr(model, "history", model)
    if not history:
        msg = "The model has no history. Call train() first."
        raise NotTrainedError(msg)
    wanted = [t for t in _TERMS if _columns(history, t)] if terms is None else list(terms)
    missing = [term for term in wanted if not _columns(history, term)]
    if missing or not wanted:
        endings = sorted({name.removesuffix("_train") for name in history if "_train" in name})
        msg = f"The history has no term {', '.join(missing)}; it has {', '.join(endings)}."
        raise InputError(msg)
    axes = canvases(ax, (1, len(wanted)), (3.1 * len(wanted), 3.0))[0]
    for panel, term in zip(axes, wanted, strict=True):
        _draw(panel, history, term)
    axes[0].legend(frameon=False, fontsize="small")
    return finish(axes, ax, show, save)


def _columns(history: Mapping[str, pd.DataFrame], term: str) -> dict[str, pd.Series]:
    """Series of one term by stage; the whole loss puts the stage first."""
    names = {s: f"{s}_loss" if term == "loss" else f"{term}_{s}" for s in _STAGES}
    return {s: history[name].iloc[:, 0] for s, name in names.items() if name in history}


def _draw(axes: Axes, history: Mapping[str, pd.DataFrame], term: str) -> None:
    for stage, values in _columns(history, term).items():
        colour, dashes, label = _STAGES[stage]
        axes.plot(values.index + 1, values.astype(float), dashes, color=colour, label=label)
    if term in ("domain_accuracy", "domain_probe"):
        if f"{term}_chance" in history:
            chance = float(history[f"{term}_chance"].iloc[-1, 0])
            axes.axhline(chance, color=GREY, ls=":")
            beside_axes = axes.get_yaxis_transform()
            axes.text(0.99, chance - 0.01, "chance", transform=beside_axes, ha="right", va="top")
        axes.set_ylim(0, 1)
    axes.set(xlabel="epoch", ylabel=term.replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    tidy(axes)
