"""Write the results of DisentangledVI into the user's AnnData."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domainvi import _keys

from ._encode import encode, soft_answers, units_of

if TYPE_CHECKING:
    from anndata import AnnData

    from domainvi.data import PreparedAnnData

    from ._fit import DisentangledFit
    from ._module import DisentangledVAE


def annotate(
    target: AnnData,
    module: DisentangledVAE,
    fitted: DisentangledFit,
    prepared: PreparedAnnData,
    parameters: dict[str, Any],
) -> None:
    """Write latents and predicted factors; everything is computed before the first key."""
    encoded = encode(module, prepared)
    columns: dict[str, Any] = {}
    for factor, score in zip(module.factors, encoded.scores, strict=True):
        soft = soft_answers(factor, score, fitted)
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
    target.uns[_keys.RESULTS] = summary(module, parameters)


def summary(module: DisentangledVAE, parameters: dict[str, Any]) -> dict[str, Any]:
    """Gather what ``uns["domainvi"]`` holds: text, numbers, arrays and dicts of them."""
    names = [f.name for f in module.factors]
    pairs = [f"{names[a]} and {names[b]}" for a, b in module.independence.blocks.confounded]
    known = {k: v for k, v in parameters.items() if v is not None}
    return {
        "version": version("domainvi"),
        "factors": np.asarray(names, dtype=object),
        "groups": np.asarray([f.group for f in module.factors], dtype=object),
        "units": dict(module.sizes),
        "params": {k: np.asarray(v) if isinstance(v, list) else v for k, v in known.items()},
        # Pairs of factors whose groups are independent within strata only.
        "confounded": np.asarray(pairs, dtype=object),
    }
