"""Gradient reversal: the identity forwards, minus ``weight`` times the gradient backwards."""

from __future__ import annotations

from typing import Any

import torch


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: float) -> torch.Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0].mul(-ctx.weight), None


def reverse_gradient(x: torch.Tensor, weight: float) -> torch.Tensor:
    r"""Return ``x`` unchanged; its gradient arrives multiplied by :math:`-\lambda`.

    One optimiser then solves the min-max problem of domain-adversarial training
    (Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 2016).

    Parameters
    ----------
    x
        Tensor of any shape.
    weight
        :math:`\lambda`. At 0 the gradient is exactly zero, so the encoder does not feel the head.

    Examples
    --------
    >>> x = torch.ones(3, requires_grad=True)
    >>> reverse_gradient(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000, -0.5000])
    """
    return _Reverse.apply(x, weight)
