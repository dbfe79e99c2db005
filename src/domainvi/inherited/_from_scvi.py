"""A model on the data, and of the size, of one of scvi-tools."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from domainvi._compat import SETUP_ARGS_KEY
from domainvi.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

COLUMNS = (
    "batch_key", "layer", "size_factor_key", "categorical_covariate_keys",
    "continuous_covariate_keys",
)  # fmt: skip


def from_scvi_model(
    cls: Any,
    scvi_model: Any,
    unlabeled_category: str,
    labels_key: str | None,
    adata: AnnData | None,
    arguments: dict[str, Any],
) -> Any:
    """Set up data as an SCVI model was; see :meth:`domainvi.DomainVI.from_scvi_model`."""
    setup = getattr(scvi_model, "registry", {}).get(SETUP_ARGS_KEY)
    if setup is None:
        msg = f"scvi_model is a {type(scvi_model).__name__}; expected a model of scvi-tools."
        raise InputError(msg)
    labels_key = labels_key or setup.get("labels_key")
    data = scvi_model.adata if adata is None else adata
    if data is None:
        msg = "The SCVI model has no data. Pass adata=..."
        raise InputError(msg)
    columns = {key: setup.get(key) for key in COLUMNS}
    cls.setup_anndata(data, labels_key=labels_key, unlabeled_category=unlabeled_category, **columns)
    module = scvi_model.module
    sizes = {"n_latent": module.n_latent, "likelihood": module.gene_likelihood}
    logger.warning(
        "The data are set up as those of the SCVI model, and the weights start anew: the encoder "
        "of DomainVI reads other inputs. model.pretrain() pretrains it without labels."
    )
    return cls(data, **(sizes | arguments))
