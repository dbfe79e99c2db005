"""Further phenotypes of a model: registration, fitting, and what is judged after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scvi.data.fields import LabelsWithUnlabeledObsField, NumericalObsField

from domainvi._compat import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY, STATE_REGISTRY_KEY
from domainvi.data import Phenotype

if TYPE_CHECKING:
    from scvi.data.fields import BaseAnnDataField

    from domainvi.data import PreparedAnnData


def target_field(work: PreparedAnnData, key: str, unlabeled_category: str) -> BaseAnnDataField:
    """Make the field under which a target of a prepared object is registered."""
    name = Phenotype(key).field
    if work.obs[key].dtype.kind == "f":
        return NumericalObsField(name, key)
    return LabelsWithUnlabeledObsField(name, key, unlabeled_category)


def registered_targets(registry: dict[str, Any]) -> tuple[Phenotype, ...]:
    """Read the targets, with their classes, from the registry of a model."""
    fields = registry[FIELD_REGISTRIES_KEY]
    found = []
    for key in registry[SETUP_ARGS_KEY].get("target_keys") or ():
        state = fields[Phenotype(key).field][STATE_REGISTRY_KEY]
        classes = state.get("categorical_mapping", [None])[:-1]
        found.append(Phenotype(key, tuple(str(c) for c in classes)))
    return tuple(found)
