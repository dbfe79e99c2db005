"""Settings of the pretraining methods: the package's own, and the published ones."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from domainvi.errors import InputError

Method = Literal["scarf", "vime", "byol"]


@dataclass(frozen=True)
class PretrainingSettings:
    """What a pretraining does.

    Parameters
    ----------
    max_epochs
        Passes over the rows; an epoch has at least 20 steps.
    batch_size
        Rows a step.
    lr, weight_decay
        Of AdamW, with a cosine learning rate.
    corruption_rate
        Share of the genes that are replaced.
    exact
        Replace the same number of genes in every row, not each gene by chance.
    marginal
        ``"empirical"``: values of the gene in other rows of the batch; counts are swapped as
        counts. ``"uniform"``: between its least and largest standardised value.
    within_domain
        Draw replacements from rows of the same domain.
    both_views
        Corrupt both views that are compared, not one.
    temperature
        Of InfoNCE (SCARF).
    ema_decay
        Of the averaged network (BYOL).
    feature_weight
        Weight of the values beside the mask (VIME).
    width
        Of the heads that are thrown away.
    """

    max_epochs: int = 50
    batch_size: int = 128
    lr: float = 1e-3
    weight_decay: float = 1e-2
    corruption_rate: float = 0.5
    exact: bool = False
    marginal: Literal["empirical", "uniform"] = "empirical"
    within_domain: bool = True
    both_views: bool = True
    temperature: float = 1.0
    ema_decay: float = 0.99
    feature_weight: float = 2.0
    width: int = 128

    def __post_init__(self) -> None:
        for name, low, high in (
            ("corruption_rate", 0, 1),
            ("ema_decay", 0, 1),
            ("lr", 0, None),
            ("temperature", 0, None),
            ("weight_decay", 0, None),
            ("feature_weight", 0, None),
            ("max_epochs", 1, None),
            ("batch_size", 4, None),
            ("width", 1, None),
        ):
            value = getattr(self, name)
            if not (low <= value and (high is None or value <= high)):
                bound = f"at least {low}" if high is None else f"from {low} to {high}"
                msg = f"{name}={value!r} is out of range; expected {bound}."
                raise InputError(msg)
        if self.marginal not in {"empirical", "uniform"}:
            msg = f"marginal={self.marginal!r} is not known. Use 'empirical' or 'uniform'."
            raise InputError(msg)
        if self.temperature == 0:
            msg = "temperature=0 divides by zero; expected a number above 0, 0.2 for instance."
            raise InputError(msg)


DEFAULTS: dict[str, PretrainingSettings] = {
    "scarf": PretrainingSettings(),
    "vime": PretrainingSettings(both_views=False, corruption_rate=0.3),
    "byol": PretrainingSettings(corruption_rate=0.3),
}
# As in the code of arXiv 2507.13912, whose encoder had four layers of 256 with BatchNorm. Adam
# becomes AdamW without decay, and VIME's rmsprop (learning rate 0.001) likewise.
PAPER: dict[str, PretrainingSettings] = {
    "scarf": PretrainingSettings(
        max_epochs=1000,
        batch_size=256,
        lr=1e-4,
        weight_decay=0.0,
        corruption_rate=0.3,
        exact=True,
        marginal="uniform",
        within_domain=False,
        both_views=False,
        temperature=1.0,
        width=256,
    ),
    "vime": PretrainingSettings(
        max_epochs=1000,
        batch_size=16,
        lr=1e-3,
        weight_decay=0.0,
        corruption_rate=0.3,
        within_domain=False,
        both_views=False,
        feature_weight=2.0,
        width=256,
    ),
    "byol": PretrainingSettings(
        max_epochs=200,
        batch_size=32,
        lr=1e-4,
        weight_decay=0.0,
        corruption_rate=0.3,
        within_domain=False,
        both_views=False,
        ema_decay=0.9,
        width=256,
    ),
}


def pretraining_settings(
    method: str, preset: str | None = None, **changes: Any
) -> PretrainingSettings:
    """Look up the settings of a method, and change some.

    Parameters
    ----------
    method
        ``"scarf"``, ``"vime"`` or ``"byol"``.
    preset
        ``None`` for the package's own settings, ``"paper"`` for the published ones.
    **changes
        Fields of :class:`PretrainingSettings`.

    Raises
    ------
    InputError
        If a name is not known or a value is out of range.

    Examples
    --------
    >>> pretraining_settings("scarf", preset="paper").temperature
    1.0
    >>> pretraining_settings("byol", lr=0.01).lr
    0.01
    """
    if method not in DEFAULTS:
        msg = f"method={method!r} is not known. Use one of {', '.join(DEFAULTS)}."
        raise InputError(msg)
    if preset not in {None, "paper"}:
        msg = f"preset={preset!r} is not known. Use None or 'paper'."
        raise InputError(msg)
    known = {f.name for f in fields(PretrainingSettings)}
    if unknown := sorted(set(changes) - known):
        msg = f"plan_kwargs has {', '.join(unknown)}; it takes {', '.join(sorted(known))}."
        raise InputError(msg)
    settings = (DEFAULTS if preset is None else PAPER)[method]
    return replace(settings, **changes)
