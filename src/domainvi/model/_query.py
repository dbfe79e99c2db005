"""Reference models meet query data: scArches-style surgery on the domain columns."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS

from domainvi._compat import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY, STATE_REGISTRY_KEY
from domainvi.data import match_genes, row_ids
from domainvi.errors import InputError
from domainvi.io import read_model
from domainvi.module import EXPRESSION
from domainvi.nn import NO_DECAY
from domainvi.train import extend_statistics

from ._inference import labels_of
from ._posthoc import show_guard
from ._save import consistent
from ._setup import check_data, check_other_columns, refuse_several

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._domainvi import DomainVI

PART = "modalities.stack.0."


def map_query(reference: DomainVI, adata: AnnData, *, unfrozen: bool) -> DomainVI:
    """Extend a model by a query's domains; see :meth:`domainvi.DomainVI.load_query_data`."""
    reference._check_trained()
    refuse_several(reference, "load_query_data")
    if reference.registry_[SETUP_ARGS_KEY]["batch_key"] is None:
        msg = (
            "The model was set up with batch_key=None and knows no cohorts to extend. Pass the "
            "query to predict or annotate, or set reference and query up together with a batch_key."
        )
        raise InputError(msg)
    prepared = reference._prepare_query(adata)
    reference._check_genes(prepared, "load_query_data")
    check_other_columns(reference, prepared)
    cls = type(reference)
    cls._remember(adata, prepared)
    model = cls(adata, **(reference._parameters() | {"likelihood": reference.likelihood}))
    adopt(model, reference, prepared)
    if not unfrozen:
        freeze(model, len(reference.domains))
    return model


def adopt(model: DomainVI, reference: DomainVI, prepared: PreparedAnnData) -> None:
    """Copy everything from the reference; new domains are scaled by the query's own rows."""
    module, old = model.module, reference.module
    modality = module.modalities.only
    old_part = old.modalities.only
    modality.set_linear_members(old_part.linear.n_members, len(old_part.composition.genes))
    n_old, n_new = len(reference.domains), len(model.domains)
    state = {name: tensor.cpu() for name, tensor in old.state_dict().items()}
    inputs = {name: width + n_old for name, width in decoder_inputs(module).items()}
    for name, tensor in module.state_dict().items():
        state[name] = expand(state[name], tensor, inputs.get(name))
    module.load_state_dict(state)
    if n_new > n_old:
        statistics, _ = extend_statistics(old, EXPRESSION, prepared, prepared.domain)
        modality.standardiser.set_statistics(*statistics.network)
        modality.linear.centre.copy_(statistics.linear[0])
        modality.linear.scale.copy_(statistics.linear[1])
    model.fitted = copy.deepcopy(reference.fitted)
    model.fitted.pretraining, model.fitted.training = None, {}
    model.fitted.agreement, model.fitted.n_reference_domains = None, None
    show_guard(model)
    model.fitted.row_ids = all_row_ids(reference)
    # A cohort without labels of its own is not corrected for class proportions.
    module.log_prior[n_old:] = 0.0
    if module.phenotypes is not None:
        module.phenotypes.forget(slice(n_old, None))
    module.eval()


def decoder_inputs(module: Any) -> dict[str, int]:
    """Count the inputs of the decoder's matrices that stand before the domains, by parameter."""
    return {
        f"{PART}decoder.hidden.0.weight": module.n_latent,
        f"{PART}decoder.output.weight": module.modalities.only.decoder.n_hidden,
    }


def freeze(model: DomainVI, n_old: int) -> None:
    """Let only the decoder's weights of domains from ``n_old`` on learn."""
    module = model.module
    model.fitted.n_reference_domains = n_old
    module.requires_grad_(False)
    n_new = len(model.domains) - n_old
    for name, width in decoder_inputs(module).items():
        new = slice(width + n_old, width + n_old + n_new)
        train_only(module.get_parameter(name), (slice(None), new))
    if module.modalities.only.input_scale.counts:
        new = slice(n_old, None)
        train_only(module.get_parameter(f"{PART}likelihood.baseline"), (new, slice(None)))


def all_row_ids(model: DomainVI) -> NDArray[np.int64]:
    """Fingerprints of the names of all rows whose labels the model learnt from."""
    if model._adata is None:
        return model.fitted.row_ids
    prepared = model._require_manager().adata
    labelled = labels_of(model, prepared) >= 0
    return np.union1d(model.fitted.row_ids, row_ids(prepared.obs_names[labelled]))


def genes_of(reference_model: Any) -> pd.Index:
    """Gene names of a model, or of one in a directory, whose weights are not loaded."""
    if hasattr(reference_model, "genes"):
        return pd.Index(reference_model.genes)
    _, metadata = read_model(reference_model)
    with consistent(reference_model):
        fields = metadata["registry"][FIELD_REGISTRIES_KEY]
        names = fields[REGISTRY_KEYS.X_KEY][STATE_REGISTRY_KEY]["column_names"]
        return pd.Index([str(name) for name in names], dtype=object)


def with_genes(adata: AnnData, genes: pd.Index, min_overlap: float | None) -> AnnData:
    """Copy rows to other genes, matched by name; missing ones are filled with zeros."""
    check_data(adata)
    alignment = match_genes(adata.var, genes, min_overlap=min_overlap)
    # -1, where a gene is missing, is no row number.
    var = adata.var.set_axis(range(adata.n_vars)).reindex(alignment.source).set_axis(genes)
    var["in_query"] = alignment.mask
    return AnnData(
        X=None if adata.X is None else alignment.take(adata.X),
        obs=adata.obs.copy(),
        var=var,
        uns=copy.deepcopy(dict(adata.uns)),
        obsm={name: values.copy() for name, values in adata.obsm.items()},
        obsp={name: values.copy() for name, values in adata.obsp.items()},
        # From anndata 0.13 on, X is also the layer None.
        layers={k: alignment.take(v) for k, v in adata.layers.items() if k is not None},
    )


def expand(old: torch.Tensor, new: torch.Tensor, at: int | None = None) -> torch.Tensor:
    """Fit an old tensor into the shape of a new one; what is added is the mean of what there was.

    Parameters
    ----------
    old, new
        Tensors that differ in one dimension, the number of domains.
    at
        Where the new entries go; behind the old ones if ``None``.
    """
    if old.shape == new.shape:
        return old
    dim = next(i for i in range(old.dim()) if old.shape[i] != new.shape[i])
    at = old.shape[dim] if at is None else at
    if old.is_floating_point():
        shape = list(old.shape)
        shape[dim] = new.shape[dim] - old.shape[dim]
        middle = old.mean(dim, keepdim=True).expand(shape)
    else:
        middle = new.narrow(dim, at, new.shape[dim] - old.shape[dim])
    before, after = old.narrow(dim, 0, at), old.narrow(dim, at, old.shape[dim] - at)
    return torch.cat([before, middle, after], dim=dim)


def train_only(parameter: torch.nn.Parameter, block: tuple[slice, slice]) -> None:
    """Let one block of a matrix learn and keep the rest as it is."""
    mask = torch.zeros_like(parameter)
    mask[block] = 1.0
    parameter.requires_grad_(True)
    setattr(parameter, NO_DECAY, True)
    parameter.register_hook(lambda gradient: gradient * mask.to(gradient.device))
