"""Settings of the pretraining methods, and the record that a pretraining leaves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

Method = Literal["scarf", "vime", "byol"]


@dataclass(frozen=True)
class PretrainingSettings:
    """Settings of a pretraining.

    Parameters
    ----------
    max_epochs
        Passes over the rows; an epoch has at least 20 steps.
    batch_size
        Rows a step.
    lr, weight_decay
        Learning rate, which falls along a cosine, and weight decay of AdamW.
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
        Temperature of InfoNCE (SCARF).
    ema_decay
        Decay of the averaged network (BYOL).
    feature_weight
        Weight of the values beside the mask (VIME).
    width
        Width of the heads that are thrown away.
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
PUBLISHED = PretrainingSettings(
    max_epochs=1000,
    weight_decay=0.0,
    corruption_rate=0.3,
    within_domain=False,
    both_views=False,
    width=256,
)
PAPER: dict[str, PretrainingSettings] = {
    "scarf": replace(PUBLISHED, batch_size=256, lr=1e-4, exact=True, marginal="uniform"),
    "vime": replace(PUBLISHED, batch_size=16),
    "byol": replace(PUBLISHED, max_epochs=200, batch_size=32, lr=1e-4, ema_decay=0.9),
}


def pretraining_settings(
    method: str, preset: str | None = None, **changes: Any
) -> PretrainingSettings:
    """Look up the settings of a method, and change some.

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


@dataclass(frozen=True)
class PretrainingRecord:
    """How the encoder of a model was pretrained.

    Parameters
    ----------
    method, settings
        Method and settings of :meth:`domainvi.DomainVI.pretrain`; ``None`` for an encoder that was
        only taken from a saved model.
    history
        Logged numbers, one value an epoch.
    collapsed
        Whether the embedding collapsed.
    source
        Record of the saved model that the encoder was taken from, if it had one.
    n_genes_matched
        Number of genes that the saved model shares with this one.
    """

    method: str | None = None
    settings: PretrainingSettings | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    collapsed: bool = False
    source: PretrainingRecord | None = None
    n_genes_matched: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PretrainingRecord:
        """Undo :meth:`to_dict`."""
        settings, source = values["settings"], values["source"]
        nested = {
            "settings": None if settings is None else PretrainingSettings(**settings),
            "source": None if source is None else cls.from_dict(source),
            "history": {k: [float(v) for v in column] for k, column in values["history"].items()},
        }
        return cls(**{**values, **nested})


def full_history(
    record: PretrainingRecord | None, trained: dict[str, pd.DataFrame] | None
) -> dict[str, pd.DataFrame] | None:
    """Join the history of pretraining and that of training; ``None`` where there is neither."""
    earlier = {} if record is None else record.history
    if trained is None and not earlier:
        return None
    frames = {
        name: pd.DataFrame({name: values}, pd.RangeIndex(len(values), name="epoch"))
        for name, values in earlier.items()
    }
    return frames | (trained or {})
