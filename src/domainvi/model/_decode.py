"""The decoder's part: expected values of rows as measured in other domains, and draws."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from scvi.distributions import Normal, Poisson
from sparse import GCXS

from domainvi._checks import check_positive, check_sizes
from domainvi._compat import MODULE_KEYS
from domainvi.errors import InputError
from domainvi.train import seeded

from ._setup import refuse_several

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._domainvi import DomainVI


# Rows that are drawn at a time.
DRAWN = 512
# Parameters of the distributions by likelihood, and their names in torch.
PARAMETERS = {
    "normal": {"mean": "loc", "scale": "scale"},
    "poisson": {"mean": "rate"},
    "nb": {"mean": "mu", "dispersions": "theta"},
    "zinb": {"mean": "mu", "dispersions": "theta", "dropout": "zi_probs"},
}


def refuse_undecodable(model: DomainVI, prepared: PreparedAnnData) -> None:
    """Refuse rows that lack genes, or of domains that the decoder does not know."""
    model._check_genes(prepared, "this method")
    if n_new := int((prepared.domain >= len(model.domains)).sum()):
        msg = (
            f"{n_new} of {prepared.n_obs} rows are of domains that were not in training, and "
            "this method needs the decoder. Use load_query_data(adata, model) and train on the "
            "query first."
        )
        raise InputError(msg)


@torch.inference_mode()
def normalized_expression(
    model: DomainVI,
    adata: AnnData | None,
    indices: Sequence[int] | Sequence[bool] | None,
    transform_batch: str | Sequence[str] | None,
    gene_list: Sequence[str] | None,
    library_size: float | Literal["latent"],
    batch_size: int,
    n_samples: int | None = None,
    n_samples_overall: int | None = None,
    *,
    return_mean: bool = True,
    return_numpy: bool = False,
) -> pd.DataFrame | NDArray[np.float32]:
    """Decode the means; see :meth:`domainvi.DomainVI.get_normalized_expression`."""
    model._check_trained()
    refuse_several(model, "get_normalized_expression")
    domains = domain_numbers(model, transform_batch)
    genes = gene_numbers(model, gene_list)
    prepared = model._validate_anndata(adata)
    rows = model._row_numbers(prepared, indices)
    n_draws, is_overall = n_samples, n_samples_overall is not None
    check_positive(n_samples=n_samples, n_samples_overall=n_samples_overall)
    if is_overall:
        rows, n_draws = np.random.default_rng(model.seed).choice(rows, n_samples_overall), 1
    decoded = partial(decoded_rows, model, prepared, rows, domains, library_size, batch_size)
    # Means are no draw, and need not wait for a thread that trains.
    with seeded(model.seed) if n_draws else nullcontext():
        values = decoded(n_draws, average=return_mean or not n_draws)[..., genes]
    if return_numpy or is_overall or values.ndim > 2:
        return values
    names = [model.genes[i] for i in genes]
    return pd.DataFrame(values, index=prepared.obs_names[rows], columns=names)


@torch.inference_mode()
def decoded_rows(
    model: DomainVI,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64],
    domains: Sequence[int | None],
    library_size: float | Literal["latent"],
    batch_size: int,
    n_samples: int | None = None,
    *,
    average: bool = True,
) -> NDArray[np.float32]:
    """Decode posterior means of rows, or draws or their average, averaged over domains."""
    module = model.module
    nothing = np.empty((0, len(model.genes)), dtype=np.float32)
    parts = [nothing if average else np.stack([nothing] * (n_samples or 1))]
    for tensors in model._make_data_loader(prepared, indices=rows, batch_size=batch_size):
        encoded = module.inference(**module._get_inference_input(tensors))
        posterior, total, draws = encoded[MODULE_KEYS.QZ_KEY], torch.zeros(()), []
        for _ in range(n_samples or 1):
            encoded[MODULE_KEYS.Z_KEY] = posterior.sample() if n_samples else posterior.loc
            inputs = module._get_generative_input(tensors, encoded)
            decoded = [decode(model, inputs, domain, library_size) for domain in domains]
            one = torch.stack(decoded).mean(dim=0)
            if average:
                total = total.to(one.device) + one / (n_samples or 1)
            else:
                draws.append(one)
        parts.append((total if average else torch.stack(draws)).cpu().numpy())
    return np.concatenate(parts, axis=-2)


def draw_expression(
    model: DomainVI, prepared: PreparedAnnData, rows: NDArray[np.int64], domain: str | None
) -> NDArray[np.float32]:
    """Decode one draw of each row, as measured in a domain; for counts shares that sum to 1."""
    return decoded_rows(model, prepared, rows, domain_numbers(model, domain), 1.0, DRAWN, 1)


def decode(
    model: DomainVI,
    inputs: dict[str, Any],
    domain: int | None,
    library_size: float | Literal["latent"],
) -> torch.Tensor:
    """Decode rows to expected values as measured in a domain; their own if ``None``."""
    px = decode_as(model, inputs, domain)
    if not model.module.modalities.only.input_scale.counts or library_size == "latent":
        return px.mean
    return library_size * px.scale / px.scale.sum(dim=-1, keepdim=True)


def decode_as(model: DomainVI, inputs: dict[str, Any], domain: int | None) -> Any:
    """Decode rows to the distribution of values as measured in a domain; their own if ``None``."""
    own = inputs["batch_index"]
    as_domain = own if domain is None else torch.full_like(own, domain)
    return model.module.generative(**inputs | {"batch_index": as_domain})[MODULE_KEYS.PX_KEY]


def domain_numbers(model: DomainVI, names: Any) -> list[int | None]:
    """Codes of domains by name, numbers among them; ``None`` stands for the row's own."""
    if names is None:
        return [None]
    wanted = [str(name) for name in np.atleast_1d(np.asarray(names, dtype=object))]
    missing = [name for name in wanted if name not in model.domains]
    if missing or not wanted:
        msg = f"transform_batch={names!r}; expected names out of {', '.join(model.domains)}."
        raise InputError(msg)
    return [list(model.domains).index(name) for name in wanted]


def gene_numbers(model: DomainVI, names: Sequence[str] | None) -> list[int]:
    """Columns of genes by name, all of them if ``None``."""
    if names is None:
        return list(range(len(model.genes)))
    number = {name: i for i, name in enumerate(model.genes)}
    missing = [name for name in names if name not in number]
    if missing:
        msg = (
            f"gene_list: {len(missing)} of {len(names)} genes are not in the model, such as "
            f"{missing[0]!r}. Use names out of model.genes."
        )
        raise InputError(msg)
    return [number[name] for name in names]


@torch.inference_mode()
def distributions(
    model: DomainVI,
    adata: AnnData | None,
    indices: Sequence[int] | Sequence[bool] | None,
    batch_size: int,
    domains: Sequence[int | None],
    *,
    drawn: bool = True,
) -> Iterator[list[Any]]:
    """Yield by batch the decoded distributions of one draw, or of the mean, as of each domain."""
    model._check_trained()
    prepared, module = model._validate_anndata(adata), model.module
    rows = model._row_numbers(prepared, indices)
    with seeded(model.seed):
        for tensors in model._make_data_loader(prepared, indices=rows, batch_size=batch_size):
            encoded = module.inference(**module._get_inference_input(tensors))
            posterior, found = encoded[MODULE_KEYS.QZ_KEY], []
            for domain in domains:
                encoded[MODULE_KEYS.Z_KEY] = posterior.sample() if drawn else posterior.loc
                inputs = module._get_generative_input(tensors, encoded)
                found.append(decode_as(model, inputs, domain))
            yield found


def predictive_draws(
    model: DomainVI,
    adata: AnnData | None,
    n_samples: int,
    indices: Sequence[int] | Sequence[bool] | None,
    batch_size: int,
    gene_list: Sequence[str] | None,
    transform_batch: str | Sequence[str] | None,
) -> GCXS:
    """Draw values; see :meth:`domainvi.DomainVI.posterior_predictive_sample`."""
    check_sizes(n_samples=n_samples)
    genes, names = gene_numbers(model, gene_list), domain_numbers(model, transform_batch)
    domains = [names[i % len(names)] for i in range(n_samples)]
    parts = [
        np.stack([px.sample().cpu().numpy()[:, genes] for px in drawn], axis=-1)
        for drawn in distributions(model, adata, indices, batch_size, domains)
    ]
    draws = np.concatenate([np.empty((0, len(genes), n_samples), dtype=np.float32), *parts])
    if n_samples == 1:
        return GCXS.from_numpy(draws[..., 0])
    return GCXS.from_numpy(draws, compressed_axes=(0, 2))


def likelihood_parameters(
    model: DomainVI,
    adata: AnnData | None,
    indices: Sequence[int] | Sequence[bool] | None,
    n_samples: int | None,
    batch_size: int,
    give_mean: bool,
) -> dict[str, NDArray[np.float32]]:
    """Decode parameters; see :meth:`domainvi.DomainVI.get_likelihood_parameters`."""
    check_positive(n_samples=n_samples)
    refuse_several(model, "get_likelihood_parameters")
    names = PARAMETERS[str(model.likelihood)]
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    domains = [None] * (n_samples or 1)
    for decoded in distributions(
        model, adata, indices, batch_size, domains, drawn=n_samples is not None
    ):
        for name, attribute in names.items():
            values = [getattr(px, attribute).expand_as(px.mean) for px in decoded]
            parts[name].append(torch.stack(values).cpu().numpy())
    found = {name: np.concatenate(values, axis=1) for name, values in parts.items()}
    if give_mean or len(domains) == 1:
        return {name: values.mean(axis=0) for name, values in found.items()}
    return found


def latent_library_size(
    model: DomainVI,
    adata: AnnData | None,
    indices: Sequence[int] | Sequence[bool] | None,
    batch_size: int,
) -> NDArray[np.float32]:
    """Read library sizes; see :meth:`domainvi.DomainVI.get_latent_library_size`."""
    model._check_trained()
    refuse_several(model, "get_latent_library_size")
    if model.likelihood == "normal":
        msg = "likelihood='normal': log values have no library size, which is one of counts."
        raise InputError(msg)
    prepared, module = model._validate_anndata(adata), model.module
    rows = model._row_numbers(prepared, indices)
    loader = model._make_data_loader(prepared, indices=rows, batch_size=batch_size)
    inputs = (module._get_inference_input(tensors) for tensors in loader)
    sizes = [module.log_values(i["x"].float(), i["size_factor"])[1] for i in inputs]
    return torch.cat(sizes).reshape(len(rows), 1).cpu().numpy()


def feature_correlation(
    model: DomainVI,
    adata: AnnData | None,
    indices: Sequence[int] | Sequence[bool] | None,
    n_samples: int,
    batch_size: int,
    library_size: float,
    transform_batch: str | Sequence[str] | None,
    *,
    ranked: bool,
) -> pd.DataFrame:
    """Correlate genes; see :meth:`domainvi.DomainVI.get_feature_correlation_matrix`."""
    refuse_several(model, "get_feature_correlation_matrix")
    matrices = []
    for domain in domain_numbers(model, transform_batch):
        batches = distributions(model, adata, indices, batch_size, [domain] * n_samples)
        rates = torch.cat([rate(px, library_size) for drawn in batches for px in drawn])
        values = rates.cpu().numpy().astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):  # a gene that does not vary
            matrices.append(
                np.corrcoef(rankdata(values, axis=0) if ranked else values, rowvar=False)
            )
    return pd.DataFrame(np.mean(matrices, axis=0), index=model.genes, columns=model.genes)


def rate(px: Any, library_size: float) -> torch.Tensor:
    """Draw what a row's values vary around: of counts the Poisson rate, otherwise the values."""
    if isinstance(px, Normal):
        return px.sample()
    mean = library_size * px.scale / px.scale.sum(dim=-1, keepdim=True)
    if isinstance(px, Poisson):
        return mean
    theta = px.theta.expand_as(mean)
    return torch.distributions.Gamma(theta, theta / mean.clamp_min(1e-8)).sample()
