"""DeepLIFT as another derivative: tensors whose gradients are multipliers against a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# A difference below this share of the value is mostly rounding; the derivative is used there.
NOISE = 1e-4
# fmt: off
ELEMENTWISE = frozenset(
    [
        "__rdiv__", "__rpow__", "abs", "celu", "clamp", "clamp_max", "clamp_min", "elu", "exp",
        "expm1", "gelu", "hardtanh", "leaky_relu", "log", "log1p", "logsigmoid", "mish", "pow",
        "reciprocal", "relu", "rsqrt", "selu", "sigmoid", "silu", "softplus", "sqrt", "square",
        "tanh",
    ]
)
# fmt: on


class Paired(torch.Tensor):
    r"""Rows stacked on their references, :math:`(2n, \dots)`, with DeepLIFT's derivative.

    Ordinary PyTorch code runs on it. Values are those of an ordinary tensor; what flows back are
    the multipliers :math:`m` of DeepLIFT (Shrikumar, Greenside and Kundaje, ICML 2017), so that
    :math:`\sum_i m_i (x_i - x^0_i) = f(x) - f(x^0)` holds up to rounding for whatever is composed
    of three kinds of steps:

    - linear ones, whose multipliers are their gradients;
    - element-wise ones, by the rescale rule :math:`m = \Delta y / \Delta x`;
    - products of two, :math:`\Delta (ab) = \bar b\, \Delta a + \bar a\, \Delta b` with means over
      row and reference, which are the Shapley values of the factors (Lundberg and Lee, NIPS 2017).

    Layer normalisation, softmax, log-softmax and division are taken apart into such steps. Any
    other function gets its gradient, and the sums then differ, so compare them.

    Examples
    --------
    >>> u = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    >>> y = torch.square(u.as_subclass(Paired).sum(dim=1)).as_subclass(torch.Tensor)
    >>> torch.autograd.grad(y[0], u)[0][0]
    tensor([3., 3.])
    """

    @classmethod
    def __torch_function__(
        cls, func: Callable, types: Any, args: Sequence = (), kwargs: dict | None = None
    ) -> Any:
        """Run ``func`` by its rule if it has one."""
        name, kwargs = func.__name__, kwargs or {}
        if name in ELEMENTWISE and isinstance(args[0], cls):
            x, *others = args
            return rescaled(lambda v: func(v, *others, **kwargs), plain(x)).as_subclass(cls)
        if name in TWO_FACTORS and isinstance(args[1], cls):
            return TWO_FACTORS[name](*args).as_subclass(cls)
        if name in COMPOSITE:
            return COMPOSITE[name](plain(args[0]), *args[1:], **kwargs).as_subclass(cls)
        return super().__torch_function__(func, types, args, kwargs)


def plain(x: Any) -> Any:
    """Return a tensor without the rules; gradients still flow."""
    return x.as_subclass(torch.Tensor) if isinstance(x, Paired) else x


def both(half: torch.Tensor) -> torch.Tensor:
    """Repeat for row and reference."""
    return torch.cat([half, half])


def difference(x: torch.Tensor) -> torch.Tensor:
    """Row minus reference."""
    row, reference = x.detach().chunk(2)
    return both(row - reference)


def rescaled(func: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Apply an element-wise function; its derivative is the slope from reference to row."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        y = func(leaf)
        (slope,) = torch.autograd.grad(y.sum(), leaf)
    dx = difference(x)
    slope = torch.where(dx.abs() <= NOISE * leaf.detach().abs(), slope, difference(y) / dx)
    return y.detach() + slope * (x - x.detach())


def product(a: Any, b: Any) -> torch.Tensor:
    """Multiply; the derivative by one factor is the mean of the other."""
    a, b = plain(a), plain(b)
    mean_a, mean_b = (both(sum(v.detach().chunk(2)) / 2) for v in (a, b))
    y = a.detach() * b.detach()
    return y + mean_b * (a - a.detach()) + mean_a * (b - b.detach())


def times(a: Any, b: Any) -> torch.Tensor:
    """Multiply by something paired."""
    return product(a, b) if isinstance(a, Paired) else a * plain(b)


def over(a: Any, b: Any) -> torch.Tensor:
    """Divide by something paired."""
    inverse = rescaled(torch.reciprocal, plain(b))
    return product(a, inverse) if isinstance(a, Paired) else a * inverse


def log_softmax(x: torch.Tensor, dim: int = -1, **_: Any) -> torch.Tensor:
    """Log-softmax as exponential, sum and logarithm, about one constant for row and reference."""
    highest = x.detach().amax(dim, keepdim=True)
    highest = both(torch.maximum(*highest.chunk(2)))
    total = rescaled(torch.exp, x - highest).sum(dim, keepdim=True)
    return x - highest - rescaled(torch.log, total)


def softmax(x: torch.Tensor, dim: int = -1, **_: Any) -> torch.Tensor:
    """Softmax as the exponential of log-softmax."""
    return rescaled(torch.exp, log_softmax(x, dim))


def layer_norm(
    x: torch.Tensor,
    shape: Sequence[int],
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    """Layer normalisation as mean, square, inverse root and product."""
    dims = tuple(range(-len(shape), 0))
    centred = x - x.mean(dims, keepdim=True)
    variance = rescaled(torch.square, centred).mean(dims, keepdim=True)
    out = product(centred, rescaled(torch.rsqrt, variance + eps))
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


TWO_FACTORS: dict[str, Callable] = {"mul": times, "div": over}
COMPOSITE: dict[str, Callable] = {
    "log_softmax": log_softmax,
    "softmax": softmax,
    "layer_norm": layer_norm,
}
