"""What there is to explain of a model with subspaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from ._disentangled_persistence import DisentangledPersistenceMixin
from ._disentangled_training import DisentangledTrainingMixin
from ._explanation import ExplanationMixin
from ._readout import LATENTS, LogRowsMixin, Readout

if TYPE_CHECKING:
    from domainvi.data import PreparedAnnData


class DisentangledReadoutMixin(
    LogRowsMixin, ExplanationMixin, DisentangledTrainingMixin, DisentangledPersistenceMixin
):
    """``explain``: ``target`` names a factor, the main one if ``None``, or ``"latent"``."""

    def _readout(self, work: PreparedAnnData, target: str | None) -> Readout:
        """Return the head that ``target`` names. All rows are of one domain to the encoder."""
        module = self.module
        mask = torch.from_numpy(work.gene_mask).to(module.device)

        def latents(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
            return module.encode_log(u, mask)[0]

        if target == LATENTS:
            names = [f"{LATENTS}_{i}" for i in range(module.n_latent)]
            return Readout(LATENTS, names, latents, False, 1, names)
        k, factor = self._factor(target)

        def scores(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
            score = module.factor_scores(latents(u, domain))[k]
            if factor.is_numeric:
                return score * factor.scale + factor.centre
            return functional.log_softmax(score, dim=1)

        names = list(factor.levels) or [factor.name]
        return Readout(factor.name, names, scores, not factor.is_numeric, 1, names)
