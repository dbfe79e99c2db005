"""The game of the domain heads: steps of their own between those of the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

N_STEPS = 5
LEARNING_RATE = 2e-3
BETAS = (0.5, 0.9)


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
        self.stored: dict[str, Any] | None = None

    def play(self, loss: Callable[[], torch.Tensor]) -> None:
        """Take the steps; ``loss`` computes the loss of the heads on constant latents."""
        if not self.parameters:
            return
        for _ in range(N_STEPS):
            value = loss()
            # A batch without two domains has nothing to say; other processes may have more.
            gradients = (
                torch.autograd.grad(value, self.parameters)
                if value.requires_grad
                else [torch.zeros_like(p) for p in self.parameters]
            )
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.grad = mean_over_processes(gradient)
            self.optimizer.step()
        # What the step of the encoder leaves there begins anew.
        self.optimizer.zero_grad()

    def resume(self) -> None:
        """Go on from the state of a checkpoint, if there is one."""
        if self.stored is not None:
            self.optimizer.load_state_dict(self.stored)
            self.stored = None


def mean_over_processes(x: torch.Tensor) -> torch.Tensor:
    """Mean of a tensor over the processes that train together; the tensor itself if alone."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return x
    distributed.all_reduce(x)
    return x / distributed.get_world_size()
