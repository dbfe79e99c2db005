"""Everything that training leaves on a DomainVI model beside its weights, as one object."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from domainvi import _keys
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import bare_name, color_list, reference_order, validate_row_ids
from domainvi.linear import Centring
from domainvi.pretraining import PretrainingRecord
from domainvi.trust import Audit, Calibrator, GuardRecord, PredictionSets, UnknownScorer

from ._save import arrays_under

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from domainvi.data import Phenotype

    from ._domainvi import DomainVI

ROW_IDS = "training_row_ids"
# What a file holds under names that are taken as they are.
PLAIN = {
    "is_scaled": (bool,),
    "agreement": (float, type(None)),
    "training": (dict,),
    "n_reference_domains": (int, type(None)),
}
CENTRING, UNKNOWN, PHENOTYPE_UNKNOWN = "centring.", "unknown.", "phenotype_unknown."
SETS = "sets."
Stored = TypeVar("Stored", UnknownScorer, PredictionSets)


@dataclass
class Order:
    """Classes of a phenotype as the user's object shows them.

    Parameters
    ----------
    classes
        Names in the order of the reference.
    colors
        Their colours; empty where the reference has none.
    """

    classes: list[str]
    colors: list[str] = field(default_factory=list)

    @classmethod
    def from_dict(cls, values: dict[str, Any], known: Sequence[str]) -> Order:
        """Read an order from a file; a ValueError unless it has the known classes, each once."""
        order = cls(**values)
        if sorted(order.classes) != sorted(known):
            msg = f"{len(order.classes)} ordered classes, {len(known)} in the registry"
            raise ValueError(msg)
        named = all(isinstance(color, str) for color in order.colors)
        if not named or len(order.colors) not in (0, len(known)):
            msg = f"{len(order.colors)} colours of {len(known)} classes, or they are no text"
            raise ValueError(msg)
        return order


@dataclass
class Fitted:
    """State that training sets and that prediction reads; by convention nothing else changes it.

    A *pattern* is a set of modalities that a row may have, numbered as in
    :func:`~domainvi.model._inference.patterns`; models of one modality have pattern 0 alone.

    Parameters
    ----------
    order
        Classes and colours of the main phenotype.
    phenotype_order
        Those of each auxiliary phenotype, by its key.
    is_scaled
        Whether input scaling and linear members are fitted.
    agreement
        Cohen's kappa of two views of the target; ``None`` where they were not compared.
    calibration
        Calibration of probabilities by pattern.
    unknown
        Unknown score by pattern; absent where there were too few labels.
    phenotype_unknown
        Unknown score by auxiliary phenotype.
    sets
        Calibration of prediction sets by pattern.
    centring
        Shifts of the latents; ``None`` where latents are not centred.
    audit
        Audit of the design; ``None`` before training, and for one domain.
    guard
        Decisions of the guard.
    pretraining
        Record of the pretraining; ``None`` without one.
    training
        Keyword arguments of the last training, for those that repeat it.
    row_ids
        Fingerprints of the names of rows whose labels the model learnt from, beside those of its
        own data.
    n_reference_domains
        Domains of the reference model that this one extends; ``None`` if it extends none.
    """

    order: Order
    phenotype_order: dict[str, Order] = field(default_factory=dict)
    is_scaled: bool = False
    agreement: float | None = None
    calibration: dict[int, Calibrator] = field(default_factory=dict)
    unknown: dict[int, UnknownScorer] = field(default_factory=dict)
    phenotype_unknown: dict[str, UnknownScorer] = field(default_factory=dict)
    sets: dict[int, PredictionSets] = field(default_factory=dict)
    centring: Centring | None = None
    audit: Audit | None = None
    guard: GuardRecord = field(default_factory=GuardRecord)
    pretraining: PretrainingRecord | None = None
    training: dict[str, Any] = field(default_factory=dict)
    row_ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    n_reference_domains: int | None = None

    def to_file(self, row_ids: NDArray[np.int64]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return arrays by name, and values that JSON holds.

        Parameters
        ----------
        row_ids
            Fingerprints of all rows that the model learnt from, those of its own data among them.
        """
        tensors: dict[str, Any] = {ROW_IDS: row_ids}
        if self.centring is not None:
            tensors |= {CENTRING + k: v for k, v in vars(self.centring).items()}
        for prefix, scorers in (
            (SETS, self.sets),
            (UNKNOWN, self.unknown),
            (PHENOTYPE_UNKNOWN, self._numbered_phenotypes()),
        ):
            for number, scorer in scorers.items():
                arrays = scorer.to_arrays().items()
                tensors |= {f"{prefix}{number}.{k}": np.asarray(v) for k, v in arrays}
        return tensors, {
            "order": asdict(self.order),
            "phenotype_order": {k: asdict(v) for k, v in self.phenotype_order.items()},
            "is_scaled": self.is_scaled,
            "agreement": self.agreement,
            "calibration": {str(k): v.to_dict() for k, v in self.calibration.items()},
            "audit": None if self.audit is None else self.audit.to_dict(),
            "guard": self.guard.to_dict(),
            "pretraining": None if self.pretraining is None else self.pretraining.to_dict(),
            "training": self.training,
            "n_reference_domains": self.n_reference_domains,
        }

    def _numbered_phenotypes(self) -> dict[int, UnknownScorer]:
        """Unknown scores by the place of their phenotype: names may be any text."""
        keys = list(self.phenotype_order)
        return {keys.index(k): scorer for k, scorer in self.phenotype_unknown.items()}

    @classmethod
    def from_file(
        cls,
        tensors: dict[str, Any],
        values: dict[str, Any],
        classes: Sequence[str],
        phenotypes: Sequence[Phenotype],
    ) -> Fitted:
        """Undo :meth:`to_file`; a ValueError or the like where the parts do not fit together.

        Parameters
        ----------
        tensors, values
            What :meth:`to_file` returned.
        classes, phenotypes
            Classes of the main phenotype, and the auxiliary phenotypes, of the model.
        """
        for name, kinds in PLAIN.items():
            if type(values[name]) not in kinds:
                msg = f"{name} is of type {type(values[name]).__name__}"
                raise ValueError(msg)
        orders = values["phenotype_order"]
        keys, centring = list(orders), numpy_under(CENTRING, tensors)
        audit, pretraining = values["audit"], values["pretraining"]
        return cls(
            order=Order.from_dict(values["order"], classes),
            phenotype_order={p.key: Order.from_dict(orders[p.key], p.classes) for p in phenotypes},
            is_scaled=values["is_scaled"],
            agreement=values["agreement"],
            calibration={int(k): Calibrator.from_dict(v) for k, v in values["calibration"].items()},
            unknown=scorers_under(UNKNOWN, tensors, UnknownScorer),
            phenotype_unknown={
                keys[i]: scorer
                for i, scorer in scorers_under(PHENOTYPE_UNKNOWN, tensors, UnknownScorer).items()
            },
            sets=scorers_under(SETS, tensors, PredictionSets),
            centring=Centring(**centring) if centring else None,
            audit=None if audit is None else Audit.from_dict(audit),
            guard=GuardRecord.from_dict(values["guard"]),
            pretraining=None if pretraining is None else PretrainingRecord.from_dict(pretraining),
            training=values["training"],
            row_ids=validate_row_ids(tensors[ROW_IDS].numpy()),
            n_reference_domains=values["n_reference_domains"],
        )


def scorers_under(prefix: str, tensors: dict[str, Any], kind: type[Stored]) -> dict[int, Stored]:
    """Read what was stored as arrays, by the number that follows a prefix."""
    found: dict[int, dict[str, Any]] = {}
    for name, array in numpy_under(prefix, tensors).items():
        number, _, rest = name.partition(".")
        found.setdefault(int(number), {})[rest] = array
    return {number: kind.from_arrays(arrays) for number, arrays in found.items()}


def numpy_under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Take the tensors whose names start with a prefix as arrays."""
    return {k: v.numpy() for k, v in arrays_under(prefix, tensors).items()}


def fitted_for(model: DomainVI, adata: AnnData | MuData | None) -> Fitted:
    """Begin the fitted state with the order and colours that the user's object shows."""
    key = model.registry_[SETUP_ARGS_KEY]["labels_key"]
    if adata is None:
        return Fitted(Order(model.classes))
    return Fitted(
        order_of(adata, key, model.classes),
        {p.key: order_of(adata, p.key, list(p.classes)) for p in model.phenotypes},
    )


def order_of(adata: AnnData | MuData, key: str, classes: list[str]) -> Order:
    """Order of the classes in the user's column, and their colours; none where one has none."""
    order = reference_order(adata.obs, key, classes)
    column = adata.obs.get(key)
    if column is not None and isinstance(column.dtype, pd.CategoricalDtype):
        listed = column.cat.categories.astype(str).tolist()
        colors = color_list(adata.uns.get(_keys.colors(key)), listed)
        named = dict(zip((bare_name(name) for name in listed), colors, strict=False))
        if all(c in named for c in order):
            return Order(order, [named[c] for c in order])
    return Order(order)
