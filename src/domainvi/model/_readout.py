"""The heads of a model that can be explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domainvi.explain import LATENTS, domainvi_head
from domainvi.explain import Head as Readout

from ._persistence import PersistenceMixin
from ._stored import StoredMixin
from ._training import TrainingMixin

if TYPE_CHECKING:
    from domainvi.data import PreparedAnnData

__all__ = ["LATENTS", "LogRowsMixin", "Readout", "ReadoutMixin"]


class LogRowsMixin(StoredMixin):
    """Base of models that can be explained."""


class ReadoutMixin(LogRowsMixin, TrainingMixin, PersistenceMixin):
    """The heads of a model with an encoder, a classifier and a linear ensemble."""

    def _readout(self: Any, work: PreparedAnnData, target: str | None) -> Readout:
        return domainvi_head(self, work, target)
