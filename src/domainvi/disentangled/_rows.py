"""Rows of models with subspaces: checked, prepared and registered with the values of factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scvi import REGISTRY_KEYS
from scvi.data.fields import LayerField, NumericalJointObsField, NumericalObsField

from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import (
    FACTORS_KEY,
    Columns,
    Factor,
    PreparedManager,
    check_setup,
    factor_values,
    prepare,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from domainvi.data import PreparedAnnData

# Name of a label column that no user has: factors are registered beside it.
NO_LABELS = "_no_labels"


def column_of(factor: str) -> str:
    """Column of the prepared object with the values of a factor; size factors may be its name."""
    return f"_factor_{factor}"


def check_rows(adata: AnnData, setup: dict[str, Any]) -> None:
    """Check rows that a model was not set up with: their metadata may be missing."""
    check_setup(
        adata,
        batch_keys=[],
        labels_key=None,
        layer=setup["layer"],
        size_factor_key=setup["size_factor_key"],
        require_labels=False,
        require_domains=False,
    )


def prepare_factors(
    adata: AnnData, setup: dict[str, Any], genes: Sequence[str] | None = None
) -> PreparedAnnData:
    """Gather matrix, size factors and factor values from an AnnData object, without touching it.

    Parameters
    ----------
    adata
        The user's object. Columns of factors may be missing: their values then are.
    setup
        Arguments of ``setup_anndata``.
    genes
        Genes of a trained model, matched by name.
    """
    columns = Columns((), NO_LABELS, layer=setup["layer"], size_factor_key=setup["size_factor_key"])
    work = prepare(adata, columns, reference_genes=genes)
    factors = [Factor.from_dict(f) for f in setup["factors"]]
    values = factor_values(adata.obs, factors, setup["unlabeled_category"])
    for factor, column in zip(factors, values.T, strict=True):
        work.obs[column_of(factor.name)] = column
    return work


def register_factors(
    work: PreparedAnnData, setup_method_args: dict[str, Any], source: dict[str, Any] | None = None
) -> None:
    """Register a prepared object with scvi-tools and remember the manager on it."""
    setup = setup_method_args[SETUP_ARGS_KEY]
    fields = [
        LayerField(REGISTRY_KEYS.X_KEY, None, is_count_data=False),
        NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, setup["size_factor_key"], required=False),
        NumericalJointObsField(FACTORS_KEY, [column_of(f["name"]) for f in setup["factors"]]),
    ]
    manager = PreparedManager(fields=fields, setup_method_args=setup_method_args)
    manager.register_fields(work, source)
    work.manager = manager
