"""The head that an explanation is of, as a differentiable function of log values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from domainvi.model._readout import LATENTS, Readout

from ._encode import position_of

if TYPE_CHECKING:
    from domainvi.data import PreparedAnnData

    from ._module import DisentangledVAE


def readout(module: DisentangledVAE, prepared: PreparedAnnData, target: str) -> Readout:
    """Return the head of a factor, or the latents. All rows are of one domain to the encoder."""
    mask = torch.from_numpy(prepared.gene_mask).to(module.device)

    def latents(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        return module.encode_log(u, mask)[0]

    if target == LATENTS:
        names = [f"{LATENTS}_{i}" for i in range(module.n_latent)]
        return Readout(LATENTS, names, latents, False, 1, names)
    k = position_of(module, target)
    factor = module.factors[k]

    def scores(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        score = module.factor_scores(latents(u, domain))[k]
        if factor.is_numeric:
            return score * factor.scale + factor.centre
        return functional.log_softmax(score, dim=1)

    names = list(factor.levels) or [factor.name]
    return Readout(factor.name, names, scores, not factor.is_numeric, 1, names)
