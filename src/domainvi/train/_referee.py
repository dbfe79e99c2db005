"""The rows that the referee looks at: those of an epoch's last batches, as users get them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from domainvi.data import ROWS_KEY
from domainvi.nn import within_class_probe

if TYPE_CHECKING:
    from domainvi.module import DomainVAE

N_BATCHES = 10


class Referee:
    """Probe the latents of an epoch afresh (:func:`~domainvi.nn.within_class_probe`).

    Parameters
    ----------
    module
        Whose latents are probed.
    """

    def __init__(self, module: DomainVAE) -> None:
        self.module = module
        self.seen: list[tuple[torch.Tensor, ...]] = []

    @torch.no_grad()
    def see(self, batch: dict[str, torch.Tensor]) -> None:
        """Encode the rows of a batch without dropout and without a draw."""
        module, training = self.module, self.module.training
        module.eval()
        inputs = module._get_inference_input(batch)
        u, _ = module.log_values(inputs["x"], inputs["size_factor"])
        (domain, *_), parts = module.domains(batch), module.modalities
        mean, _ = parts.encode(u, domain, parts.seen(inputs["present"]))
        module.train(training)
        self.seen.append((mean, domain, module.class_codes(mean, batch), batch[ROWS_KEY]))

    def verdict(self) -> tuple[float, float] | None:
        """Accuracy of the probe on half of the rows seen, and chance; then forget them.

        A row that was drawn twice is on one side of the split.
        """
        if not self.seen:
            return None
        mean, domain, code, rows = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
        self.seen.clear()
        return within_class_probe(mean, domain, code, rows % 2 == 1, self.module.n_domains[0])
