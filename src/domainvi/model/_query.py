"""Reference models meet query data: scArches-style surgery on the domain columns."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS

from domainvi.data import align_genes
from domainvi.nn import NO_DECAY
from domainvi.train import extend_statistics

from ._codes import codes
from ._inference import InferenceMixin
from ._persistence import PersistenceMixin
from ._prepared import check_other_columns

if TYPE_CHECKING:
    import os


class QueryMixin(InferenceMixin, PersistenceMixin):
    """``load_query_data`` and ``prepare_query_anndata``."""

    @classmethod
    def load_query_data(
        cls,
        adata: AnnData,
        reference_model: Self | str | os.PathLike[str],
        unfrozen: bool = False,
    ) -> Self:
        """Extend a trained model by the domains of a query, to be trained on the query alone.

        The encoder knows no domain, so :meth:`predict` and :meth:`get_latent_representation` serve
        a query without this. It is for methods that decode, and for fine-tuning (Lotfollahi et
        al., Nature Biotechnology 2022).

        Parameters
        ----------
        adata
            Query, with the columns of the original setup. Labels are optional.
        reference_model
            A trained model, or the directory of one.
        unfrozen
            Train everything. By default only the decoder's weights of the new domains learn, so
            that latents and predictions of the reference stay what they were.

        Returns
        -------
        A model on the query, to be trained with :meth:`train`.

        Raises
        ------
        GeneMatchError
            If less than half of the genes match.
        InputError
            If the query lacks any gene of the model, has new levels in a column other than the
            first ``batch_key``, or cannot be used otherwise.
        NotTrainedError
            If the reference is not trained.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> query = adata[:60].copy()
        >>> query.obs["domain"] = "hospital"
        >>> mapped = dv.DomainVI.load_query_data(query, model)
        >>> mapped.train(max_epochs=1, enable_progress_bar=False)
        >>> len(mapped.predict())
        60
        """
        if isinstance(reference_model, cls):
            reference = reference_model
        else:
            reference = cls.load(str(reference_model))
        reference._check_trained()
        reference._refuse_several("load_query_data")
        work = reference._prepare_query(adata)
        reference._check_genes(work, "load_query_data")
        check_other_columns(reference, work)
        cls._remember(adata, work)
        parameters = reference._parameters() | {"likelihood": reference.likelihood}
        model = cls(adata, **parameters)
        model._adopt(reference, work)
        if not unfrozen:
            model._freeze(len(reference.domains))
        return model

    def _adopt(self, reference: Self, work: AnnData) -> None:
        """Copy everything from the reference; new domains are scaled by the query's own rows."""
        module, old = self.module, reference.module
        n_old, n_new = len(reference.domains), len(self.domains)
        module.set_linear_members(old.linear.n_members)
        state = {name: tensor.cpu() for name, tensor in old.state_dict().items()}
        inputs = {
            "decoder.hidden.0.weight": old.n_latent + n_old,
            "decoder.output.weight": old.decoder.n_hidden + n_old,
        }
        for name, tensor in module.state_dict().items():
            state[name] = grow(state[name], tensor, inputs.get(name))
        module.load_state_dict(state)
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        if n_new > n_old:
            tables, _ = extend_statistics(old, work, domain)
            module.standardiser.set_tables(*tables.network)
            module.linear.centre.copy_(tables.linear[0])
            module.linear.scale.copy_(tables.linear[1])
        for name in (
            "class_order_",
            "class_colors_",
            "calibration_",
            "unknown_",
            "target_order_",
            "target_colors_",
            "target_unknown_",
            "centring_",
            "audit_",
            "guard_",
        ):
            setattr(self, name, copy.deepcopy(getattr(reference, name)))
        self.taught_ = None if reference.taught_ is None else reference._taught()
        # A cohort without labels of its own is not corrected for a class mix.
        module.log_prior[n_old:] = 0.0
        if module.targets is not None:
            module.targets.forget(slice(n_old, None))
        self.is_scaled_ = True
        module.eval()

    def _freeze(self, n_old: int) -> None:
        """Let only the decoder's weights of domains from ``n_old`` on learn."""
        module = self.module
        self.n_reference_domains_ = n_old
        module.requires_grad_(False)
        n_new = len(self.domains) - n_old
        blocks = {
            "decoder.hidden.0.weight": module.n_latent,
            "decoder.output.weight": module.decoder.n_hidden,
        }
        for name, width in blocks.items():
            new = slice(width + n_old, width + n_old + n_new)
            train_only(module.get_parameter(name), (slice(None), new))
        if module.counts:
            new = slice(n_old, None)
            train_only(module.get_parameter("likelihood.baseline"), (new, slice(None)))

    @staticmethod
    def prepare_query_anndata(
        adata: AnnData,
        reference_model: Any,
        return_reference_var_names: bool = False,
        min_overlap: float = 0.5,
    ) -> AnnData | pd.Index:
        """Bring a query to the genes of a model, matched by name.

        Parameters
        ----------
        adata
            Query; not changed.
        reference_model
            A model, or the directory of one.
        return_reference_var_names
            Return the genes of the model only.
        min_overlap
            Least share of the model's genes that the query must have.

        Returns
        -------
        A new object with the genes of the model in its order, ``obs`` copied and missing genes
        filled with zeros; ``var["in_query"]`` says which genes the query has.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> query = adata[:50, 5:].copy()  # five genes are missing
        >>> ready = dv.DomainVI.prepare_query_anndata(query, model)
        >>> ready.shape
        (50, 60)
        """
        from ._domainvi import DomainVI

        model = reference_model
        if not hasattr(model, "genes"):
            model = DomainVI.load(model)
        genes = pd.Index(model.genes)
        if return_reference_var_names:
            return genes
        alignment = align_genes(adata.var_names, genes, min_overlap)
        var = pd.DataFrame({"in_query": alignment.mask}, index=genes)
        out = AnnData(X=alignment.take(adata.X), obs=adata.obs.copy(), var=var)
        for name, layer in adata.layers.items():
            out.layers[name] = alignment.take(layer)
        return out


def grow(old: torch.Tensor, new: torch.Tensor, at: int | None = None) -> torch.Tensor:
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
