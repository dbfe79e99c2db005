"""The decoder's part: expected values of rows as measured in other domains, and draws."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from sparse import GCXS

from domainvi._compat import MODULE_KEYS
from domainvi.errors import InputError
from domainvi.train import seeded

from ._setup import refuse_several

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._domainvi import DomainVI


# Rows that are drawn at a time.
DRAWN = 512


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
) -> pd.DataFrame:
    """Decode the means; see :meth:`domainvi.DomainVI.get_normalized_expression`."""
    model._check_trained()
    refuse_several(model, "get_normalized_expression")
    domains = domain_numbers(model, transform_batch)
    genes = gene_numbers(model, gene_list)
    prepared = model._validate_anndata(adata)
    rows = model._row_numbers(prepared, indices)
    # Means are no draw, and need not wait for a thread that trains.
    with seeded(model.seed) if n_samples else nullcontext():
        values = decoded_rows(model, prepared, rows, domains, library_size, batch_size, n_samples)
    names = [model.genes[i] for i in genes]
    return pd.DataFrame(values[:, genes], index=prepared.obs_names[rows], columns=names)


@torch.inference_mode()
def decoded_rows(
    model: DomainVI,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64],
    domains: Sequence[int | None],
    library_size: float | Literal["latent"],
    batch_size: int,
    n_samples: int | None = None,
) -> NDArray[np.float32]:
    """Decode posterior means of rows, or the mean over draws, averaged over domains."""
    module = model.module
    parts = [np.empty((0, len(model.genes)), dtype=np.float32)]
    for tensors in model._make_data_loader(prepared, indices=rows, batch_size=batch_size):
        encoded = module.inference(**module._get_inference_input(tensors))
        posterior, total = encoded[MODULE_KEYS.QZ_KEY], torch.zeros(())
        for _ in range(n_samples or 1):
            encoded[MODULE_KEYS.Z_KEY] = posterior.sample() if n_samples else posterior.loc
            inputs = module._get_generative_input(tensors, encoded)
            decoded = [decode(model, inputs, domain, library_size) for domain in domains]
            total = total.to(decoded[0].device) + torch.stack(decoded).mean(dim=0)
        parts.append((total / (n_samples or 1)).cpu().numpy())
    return np.concatenate(parts)


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
    own = inputs["batch_index"]
    as_domain = own if domain is None else torch.full_like(own, domain)
    px = model.module.generative(**inputs | {"batch_index": as_domain})[MODULE_KEYS.PX_KEY]
    if not model.module.modalities.only.input_scale.counts or library_size == "latent":
        return px.mean
    return library_size * px.scale / px.scale.sum(dim=-1, keepdim=True)


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


def predictive_draws(
    model: DomainVI,
    adata: AnnData | None,
    n_samples: int,
    indices: Sequence[int] | Sequence[bool] | None,
    batch_size: int,
) -> GCXS:
    """Draw values; see :meth:`domainvi.DomainVI.posterior_predictive_sample`."""
    model._check_trained()
    prepared = model._validate_anndata(adata)
    rows = model._row_numbers(prepared, indices)
    loader = model._make_data_loader(prepared, indices=rows, batch_size=batch_size)
    with seeded(model.seed):
        parts = [
            np.stack([model.module.sample(tensors).numpy() for _ in range(n_samples)], axis=-1)
            for tensors in loader
        ]
    return GCXS.from_numpy(np.concatenate(parts), compressed_axes=(0, 2))
