"""The Wasserstein-style critic of adversarial domain adaptation for low-label bulk RNA-seq."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

GRADIENT_PENALTY = 10.0


class Critic(nn.Module):
    r"""Score rows as source-like, with the losses of Dradjat et al. (arXiv 2603.08062, 2026).

    With :math:`s = \mathrm{softplus}`, source latents :math:`z_s` and target latents :math:`z_t`,
    the critic :math:`D` minimises

    .. math:: L_D = -\overline{s(D(z_s))} + \overline{s(D(z_t))}
                    + 10\, \overline{(\lVert \nabla D(\hat z) \rVert_2 - 1)^2},
              \qquad \hat z = a z_s + (1 - a) z_t,\ a \sim U(0, 1),

    and the encoder minimises :math:`-\overline{s(D(z_t))}`: the target is pulled to where the
    critic scores source, and the source stays where it is.

    Parameters
    ----------
    n_latent
        Dimensions of ``z``.
    widths
        Hidden widths.
    """

    def __init__(self, n_latent: int, widths: tuple[int, ...] = (256, 128, 64)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out in zip((n_latent, *widths), widths, strict=False):
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.2)]
        self.network = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return one score a row, shape ``(n_rows,)``."""
        return self.network(z).squeeze(1)


def gradient_penalty(
    critic: nn.Module, source: torch.Tensor, target: torch.Tensor, mix: torch.Tensor
) -> torch.Tensor:
    r"""Mean of :math:`(\lVert \nabla D(\hat z) \rVert_2 - 1)^2` on mixed pairs of rows.

    Parameters
    ----------
    critic
        Maps ``(n, n_latent)`` to ``(n,)``.
    source, target
        Latents, both ``(n, n_latent)``; row *i* of one is mixed with row *i* of the other.
    mix
        Share of the source in each pair, shape ``(n, 1)``.
    """
    mixed = (mix * source + (1 - mix) * target).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    norm = torch.sqrt(gradient.square().sum(dim=1) + 1e-10)
    return (norm - 1).square().mean()


def critic_loss(
    critic: nn.Module,
    source: torch.Tensor,
    target: torch.Tensor,
    mix: torch.Tensor | None = None,
    penalty: float = GRADIENT_PENALTY,
) -> torch.Tensor:
    """Loss of the critic; the latents are constants here.

    Parameters
    ----------
    critic
        Maps ``(n, n_latent)`` to ``(n,)``.
    source, target
        Latents, ``(n_source, n_latent)`` and ``(n_target, n_latent)``.
    mix
        Mixing shares of the penalty, ``(min(n_source, n_target), 1)``; uniform draws if ``None``.
    penalty
        Weight of the gradient penalty.
    """
    source, target = source.detach(), target.detach()
    n = min(len(source), len(target))
    mix = torch.rand(n, 1, device=source.device, dtype=source.dtype) if mix is None else mix
    gap = functional.softplus(critic(target)).mean() - functional.softplus(critic(source)).mean()
    return gap + penalty * gradient_penalty(critic, source[:n], target[:n], mix)


def encoder_loss(critic: nn.Module, target: torch.Tensor) -> torch.Tensor:
    """Loss of the encoder, ``-mean softplus(D(z_t))``, with the critic held constant.

    Parameters
    ----------
    critic
        Maps ``(n, n_latent)`` to ``(n,)``.
    target
        Latents of target rows, with gradient.
    """
    constant = {k: v.detach() for k, v in critic.named_parameters()}
    return -functional.softplus(functional_call(critic, constant, (target,))).mean()
