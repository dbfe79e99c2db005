"""Rows under the posteriors of other rows: abundance of samples, and marginal likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, StudentT

from domainvi._checks import unknown_column
from domainvi._compat import MODULE_KEYS
from domainvi.errors import InputError
from domainvi.train import seeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray
    from torch.distributions import Distribution

    from domainvi.data import PreparedAnnData

    Rows = Sequence[int] | Sequence[bool] | NDArray[Any]

ABUNDANCE = "da_log_probs"


class HasPosterior(Protocol):
    """A trained model whose rows have a normal posterior and a decoder."""

    seed: int
    module: Any

    def get_latent_representation(self, adata: Any = None, **kwargs: Any) -> Any:
        """Return means and variances of rows, with ``return_dist=True``."""

    def _own_data(self) -> Any: ...

    def _validate_anndata(self, adata: Any = None) -> PreparedAnnData: ...

    def _check_trained(self) -> None: ...

    def _row_numbers(self, prepared: Any, indices: Any) -> NDArray[np.int64]: ...

    def _make_data_loader(self, adata: Any, **kwargs: Any) -> Any: ...


def aggregated_posterior(
    model: HasPosterior,
    adata: AnnData | MuData | None,
    indices: Rows | None,
    batch_size: int | None,
    dof: float | None,
) -> MixtureSameFamily:
    """Mix the posteriors of rows in equal parts; see ``CohortModel.get_aggregated_posterior``."""
    mean, variance = model.get_latent_representation(
        adata, indices=indices, batch_size=batch_size, return_dist=True
    )
    return mixture(mean, variance, dof)


def mixture(
    mean: NDArray[np.float32], variance: NDArray[np.float32], dof: float | None
) -> MixtureSameFamily:
    """Mix normal distributions, or Student's with ``dof`` degrees of freedom, in equal parts."""
    if not len(mean):
        msg = "indices names no row; an aggregated posterior needs one or more."
        raise InputError(msg)
    if dof is not None and dof <= 0:
        msg = f"dof={dof!r} must be above 0, or None for normal components."
        raise InputError(msg)
    loc, scale = torch.from_numpy(mean), torch.from_numpy(variance).sqrt()
    parts: Distribution = Normal(loc, scale) if dof is None else StudentT(dof, loc, scale)
    return MixtureSameFamily(Categorical(logits=torch.zeros(len(loc))), Independent(parts, 1))


def differential_abundance(
    model: HasPosterior,
    adata: AnnData | MuData | None,
    sample_key: str,
    batch_size: int,
    num_cells_posterior: int | None,
    dof: float | None,
) -> None:
    """Score rows under each sample; see ``CohortModel.differential_abundance``."""
    target = model._own_data() if adata is None else adata
    if sample_key not in target.obs:
        raise InputError(unknown_column("sample_key", sample_key, target.obs.columns))
    prepared = model._validate_anndata(adata)
    mean, variance = model.get_latent_representation(prepared, return_dist=True)
    sample = target.obs[sample_key].reindex(prepared.obs_names)
    rng, found = np.random.default_rng(model.seed), {}
    for name in sample.dropna().unique():
        rows = np.flatnonzero((sample == name).to_numpy())
        if num_cells_posterior is not None and num_cells_posterior < len(rows):
            rows = rng.choice(rows, num_cells_posterior, replace=False)
        posterior = mixture(mean[rows], variance[rows], dof)
        blocks = [posterior.log_prob(z) for z in torch.from_numpy(mean).split(batch_size)]
        found[str(name)] = torch.cat(blocks).numpy()
    scores = pd.DataFrame(found, index=prepared.obs_names)
    target.obsm[ABUNDANCE] = scores.reindex(target.obs_names)


@torch.inference_mode()
def marginal_likelihood(
    model: HasPosterior,
    adata: AnnData | MuData | None,
    indices: Rows | None,
    n_mc_samples: int,
    batch_size: int | None,
) -> torch.Tensor:
    """Estimate the log-likelihood of rows by importance sampling with their posteriors."""
    model._check_trained()
    prepared = model._validate_anndata(adata)
    rows = model._row_numbers(prepared, indices)
    module, parts = model.module, []
    loader = model._make_data_loader(prepared, indices=rows, batch_size=batch_size or 128)
    with seeded(model.seed):
        for batch in loader:
            tensors = {key: value.to(module.device) for key, value in batch.items()}
            encoded = module.inference(**module._get_inference_input(tensors))
            posterior, weights = encoded[MODULE_KEYS.QZ_KEY], []
            for _ in range(n_mc_samples):
                z = posterior.sample()
                drawn = encoded | {MODULE_KEYS.Z_KEY: z}
                decoded = module.generative(**module._get_generative_input(tensors, drawn))
                loss = module.loss(tensors, drawn, decoded)
                prior = Normal(0.0, 1.0).log_prob(z).sum(dim=-1)
                fit = -sum(loss.reconstruction_loss.values())
                weights.append(fit + prior - posterior.log_prob(z).sum(dim=-1))
            parts.append(torch.logsumexp(torch.stack(weights), dim=0) - np.log(n_mc_samples))
    return torch.cat(parts).cpu()
