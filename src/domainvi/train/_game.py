"""The game of the domain heads between the steps of the encoder, and its referee."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from domainvi.data import ROWS_KEY, trains_with_others
from domainvi.nn import within_class_probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from domainvi.module import DomainVAE

N_STEPS = 5
LEARNING_RATE = 2e-3
BETAS = (0.5, 0.9)
# Last batches of an epoch, whose rows the referee looks at as users get them.
N_BATCHES = 10


class DomainGame:
    r"""Let the domain heads answer the encoder before it moves again.

    For heads with parameters :math:`\phi` and an encoder with parameters :math:`\theta`, the
    saddle point of domain-adversarial training (Ganin et al., JMLR 2016) is
    :math:`\max_\theta \min_\phi L(\phi, \theta)`. With one joint step the heads run behind: they
    are at chance for the encoder of a moment ago, and a fresh head finds the domain at once. So
    the inner problem is solved first, as far as :math:`k = 5` steps bring it, as in the
    alternating game of Goodfellow et al. (NeurIPS 2014) and the critic of Arjovsky et al. (2017):

    .. math:: \phi \leftarrow \mathrm{Adam}\bigl(\phi, \nabla_\phi L(\phi, \theta)\bigr)
              \quad k \text{ times}, \qquad
              \theta \leftarrow \mathrm{AdamW}\bigl(\theta,
              \nabla_\theta (L_\mathrm{rest} - \lambda L)(\phi, \theta)\bigr).

    Adam's momentum is short (.5, .9), because the loss of the heads changes with every step of
    the encoder. Processes that train together take the mean of their gradients.

    Parameters
    ----------
    heads
        Module whose parameters play.
    """

    def __init__(self, heads: nn.Module) -> None:
        self.parameters = [p for p in heads.parameters() if p.requires_grad]
        # As a group, since an optimiser refuses an empty list: there may be no heads.
        group = {"params": self.parameters}
        self.optimizer = torch.optim.Adam([group], lr=LEARNING_RATE, betas=BETAS, fused=True)

    def play(self, loss: Callable[[], torch.Tensor]) -> None:
        """Take the steps; ``loss`` computes the loss of the heads on constant latents."""
        if not self.parameters:
            return
        together = trains_with_others()
        for _ in range(N_STEPS):
            value = loss()
            # A batch without two domains has nothing to say; other processes may have more.
            gradients = (
                torch.autograd.grad(value, self.parameters)
                if value.requires_grad
                else [torch.zeros_like(p) for p in self.parameters]
            )
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.grad = gradient
                if together:
                    torch.distributed.all_reduce(gradient)
                    gradient /= torch.distributed.get_world_size()
            self.optimizer.step()
        # What the step of the encoder leaves there begins anew.
        self.optimizer.zero_grad()


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
        (domain, *_), parts = module.domains(batch), module.modalities
        u, _ = parts.log_values(inputs["x"], inputs["size_factor"])
        mean, _ = parts.encode(u, domain, parts.seen(inputs["present"]))
        module.train(training)
        self.seen.append((mean, domain, module.class_codes(mean, batch), batch[ROWS_KEY]))

    def verdict(self) -> tuple[float, float] | None:
        """Accuracy of the probe on half of the rows seen, and chance; then forget them.

        A row that was drawn twice is on one side of the split. Processes that train together take
        the mean over those whose rows can be probed, so that all of them have a verdict or none.
        """
        if not self.seen:
            return None
        mean, domain, code, rows = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
        self.seen.clear()
        found = within_class_probe(mean, domain, code, rows % 2 == 1, self.module.n_domains[0])
        if not trains_with_others():
            return found
        total = torch.tensor([*(found or (0.0, 0.0)), float(found is not None)], device=mean.device)
        torch.distributed.all_reduce(total)
        accuracy, chance, n_processes = total.tolist()
        return (accuracy / n_processes, chance / n_processes) if n_processes else None
