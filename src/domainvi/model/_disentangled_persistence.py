"""What files of models with subspaces hold beside the module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domainvi._compat import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY, STATE_REGISTRY_KEY

from ._factor_rows import check_rows, prepare_factors, register_factors
from ._stored import StoredMixin
from ._subspaces import SubspaceMixin

if TYPE_CHECKING:
    from anndata import AnnData


class DisentangledPersistenceMixin(SubspaceMixin, StoredMixin):
    """``save`` and ``load``. Columns of factors may be missing in the data that are attached."""

    plain_state = ("is_trained_", "is_scaled_", "errors_", "calibrations_")

    @classmethod
    def _attach(cls, adata: AnnData, registry: dict[str, Any]) -> None:
        """Set data up as a model's own, by the registry of the model."""
        setup = registry[SETUP_ARGS_KEY]
        check_rows(adata, setup)
        genes = registry[FIELD_REGISTRIES_KEY]["X"][STATE_REGISTRY_KEY]["column_names"]
        work = prepare_factors(adata, setup, genes)
        arguments = {k: v for k, v in registry.items() if k != FIELD_REGISTRIES_KEY}
        register_factors(work, arguments, registry)
        cls._remember(adata, work)
