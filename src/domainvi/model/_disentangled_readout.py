"""What there is to explain of a model with subspaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from domainvi.data import row_loader

from ._disentangled_persistence import DisentangledPersistenceMixin
from ._disentangled_training import DisentangledTrainingMixin
from ._explanation import ExplanationMixin
from ._readout import LATENTS, Readout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData


class DisentangledReadoutMixin(
    ExplanationMixin, DisentangledTrainingMixin, DisentangledPersistenceMixin
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

    def _log_batches(
        self, work: PreparedAnnData, rows: NDArray[np.int64], batch_size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield log values and one domain code for all rows, on the module's device."""
        module = self.module
        for tensors in row_loader(work.manager, rows, batch_size):
            inputs = module._get_inference_input(tensors)
            x, factor = inputs["x"].float().to(module.device), inputs["size_factor"]
            factor = None if factor is None else factor.to(module.device)
            u = module.log_values(x, module.library_size(x, factor))
            yield u, torch.zeros(len(u), dtype=torch.long, device=module.device)

    def _retrained(self, seed: int) -> Self:
        """Train a model with the same parameters on the same rows from another seed."""
        work = self._require_manager().adata
        model = type(self)(work, **(self._parameters() | {"seed": seed}))
        epochs = 1 if self.history_ is None else len(self.history_["train_loss"])
        accelerator = "cpu" if self.module.device.type == "cpu" else "auto"
        model.train(max_epochs=epochs, accelerator=accelerator, enable_progress_bar=False)
        return model
