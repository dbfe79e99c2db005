"""Rows by expression alone: latents, answers to each factor, written down or explained."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from domainvi import _keys
from domainvi.data import row_loader
from domainvi.errors import InputError
from domainvi.explain import LATENTS, Head
from domainvi.trust import Calibrator

from ._factors import FACTORS_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._factors import Factor
    from ._fit import DisentangledFit
    from ._model import DisentangledVI
    from ._module import DisentangledVAE

INFERENCE_BATCH = 2048


class Encoded(NamedTuple):
    """Mean and variance of ``q(z | x)``, and for each factor logits or a standardised number."""

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    scores: list[NDArray[np.float32]]


def registered_values(prepared: PreparedAnnData) -> NDArray[np.float32]:
    """Codes and standardised numbers of the factors of prepared rows, ``(n_rows, n_factors)``."""
    return np.array(prepared.manager.get_from_registry(FACTORS_KEY), dtype=np.float32)


def position_of(module: DisentangledVAE, factor: str) -> int:
    """Position of a factor among those of the module."""
    names = [f.name for f in module.factors]
    if factor not in names:
        msg = f"factor={factor!r} is not a factor of this model. It has {', '.join(names)}."
        raise InputError(msg)
    return names.index(factor)


def units_of(module: DisentangledVAE, group: str | None) -> slice:
    """Columns of a subspace in the latents; all if ``None``."""
    if group is None:
        return slice(None)
    if group not in module.sizes:
        msg = f"group={group!r} is not known. The subspaces are {', '.join(module.sizes)}."
        raise InputError(msg)
    at = list(module.sizes).index(group)
    start = sum(list(module.sizes.values())[:at])
    return slice(start, start + module.sizes[group])


@torch.inference_mode()
def encoded_batches(
    module: DisentangledVAE,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64] | None,
    batch_size: int | None,
) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, Any]]]:
    """Yield batches with what the encoder makes of them, on the device of the module."""
    module.eval()
    mask = None if prepared.gene_mask.all() else torch.from_numpy(prepared.gene_mask)
    for tensors in row_loader(prepared.manager, rows, batch_size or INFERENCE_BATCH):
        on_device = {k: v.to(module.device) for k, v in tensors.items()}
        inputs = module._get_inference_input(on_device)
        yield on_device, module.inference(**inputs, gene_mask=mask)


@torch.inference_mode()
def encode(
    module: DisentangledVAE,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64] | None = None,
    batch_size: int | None = None,
) -> Encoded:
    """Run encoder and heads; rows come back in the order asked for."""
    n = module.n_latent
    parts = [[torch.empty(0, w) for w in (n, n, *(f.width for f in module.factors))]]
    for _, out in encoded_batches(module, prepared, rows, batch_size):
        mean = out["qz"].loc
        row = (mean, out["qz"].variance, *module.factor_scores(mean))
        parts.append([t.cpu() for t in row])
    mean, variance, *scores = (torch.cat(p).numpy() for p in zip(*parts, strict=True))
    return Encoded(mean, variance, scores)


def hard_answers(factor: Factor, score: NDArray[np.float32]) -> NDArray[Any]:
    """Level, or number, of each row from the scores of its factor."""
    if factor.is_numeric:
        return score[:, 0].astype(np.float64) * factor.scale + factor.centre
    return np.asarray(factor.levels)[score.argmax(axis=1)]


def soft_answers(
    factor: Factor, score: NDArray[np.float32], fitted: DisentangledFit, *, calibrated: bool = True
) -> NDArray[np.float64]:
    """Probabilities of the levels, or the number and its standard error, a row of them each."""
    if factor.is_numeric:
        value = hard_answers(factor, score)
        return np.stack([value, np.full(len(value), fitted.errors[factor.name])], axis=1)
    calibrator = fitted.calibrations[factor.name] if calibrated else Calibrator()
    return calibrator.apply(score) if len(score) else score.astype(np.float64)


def factor_head(model: DisentangledVI, prepared: PreparedAnnData, target: str | None) -> Head:
    """Return the head of a factor, the main one if ``None``, or the latents.

    To the encoder, all rows are of one domain.
    """
    module = model.module
    mask = torch.from_numpy(prepared.gene_mask).to(module.device)

    def latents(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        return module.encode_log(u, mask)[0]

    if target == LATENTS:
        names = [f"{LATENTS}_{i}" for i in range(module.n_latent)]
        return Head(LATENTS, names, latents, False, 1, names)
    k = position_of(module, target or model.main_factor)
    factor = module.factors[k]

    def scores(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        score = module.factor_scores(latents(u, domain))[k]
        if factor.is_numeric:
            return score * factor.scale + factor.centre
        return functional.log_softmax(score, dim=1)

    names = list(factor.levels) or [factor.name]
    return Head(factor.name, names, scores, not factor.is_numeric, 1, names)


def annotate(target: AnnData, model: DisentangledVI, prepared: PreparedAnnData) -> None:
    """Write latents and predicted factors; everything is computed before the first key."""
    module = model.module
    encoded = encode(module, prepared)
    columns: dict[str, Any] = {}
    for factor, score in zip(module.factors, encoded.scores, strict=True):
        soft = soft_answers(factor, score, model.fitted)
        first, second = soft[:, 0], soft[:, 1]
        if not factor.is_numeric:
            first = pd.Categorical.from_codes(soft.argmax(axis=1), list(factor.levels))
            second = soft.max(axis=1).astype(np.float32)
        columns[_keys.prediction(factor.name)] = first
        columns[_keys.confidence(factor.name)] = second
    for name, values in columns.items():
        target.obs[name] = pd.Series(values, index=target.obs_names)
    target.obsm[_keys.LATENT] = encoded.mean
    for name in module.sizes:
        target.obsm[_keys.subspace(name)] = encoded.mean[:, units_of(module, name)]
    names = [f.name for f in module.factors]
    pairs = [f"{names[a]} and {names[b]}" for a, b in module.independence.blocks.confounded]
    known = {k: v for k, v in model._parameters().items() if v is not None}
    target.uns[_keys.RESULTS] = {
        "version": version("domainvi"),
        "factors": np.asarray(names, dtype=object),
        "groups": np.asarray([f.group for f in module.factors], dtype=object),
        "units": dict(module.sizes),
        "params": {k: np.asarray(v) if isinstance(v, list) else v for k, v in known.items()},
        # Pairs of factors whose groups are independent within strata only.
        "confounded": np.asarray(pairs, dtype=object),
    }
