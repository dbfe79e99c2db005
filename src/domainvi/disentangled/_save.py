"""What files of models with subspaces hold beside the module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._stored import StoredMixin
from ._subspaces import SubspaceMixin

if TYPE_CHECKING:
    from anndata import AnnData

    from domainvi.data import PreparedAnnData


class DisentangledPersistenceMixin(SubspaceMixin, StoredMixin):
    """``save`` and ``load``. Columns of factors may be missing in the data that are attached."""

    plain_state = ("is_trained_", "is_scaled_", "errors_", "calibrations_", "training_")
    later_state = frozenset({"calibrations_", "training_"})

    def _prepare_own(self, data: AnnData) -> PreparedAnnData:
        return self._prepare_query(data)
