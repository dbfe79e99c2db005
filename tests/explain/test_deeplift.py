"""DeepLIFT's multipliers: by hand, against captum where it has rules, and complete everywhere."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn import functional

from domainvi.explain import Paired

if TYPE_CHECKING:
    from collections.abc import Callable


def multipliers(
    f: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, x0: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Multipliers of each row, and its score less that of its reference."""
    x = x.clone().requires_grad_()
    y = f(torch.cat([x, x0]).as_subclass(Paired)).as_subclass(torch.Tensor)
    (m,) = torch.autograd.grad(y[: len(x)].sum(), x)
    return m, (y[: len(x)] - y[len(x) :]).detach()


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 5, generator=generator), torch.randn(6, 5, generator=generator)


def test_rules_by_hand() -> None:
    x, x0 = torch.tensor([[3.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    # Rescale: (9 - 1) / (3 - 1) and (4 - 0) / (2 - 0).
    square, _ = multipliers(lambda u: torch.square(u).sum(dim=1), x, x0)
    torch.testing.assert_close(square, torch.tensor([[4.0, 2.0]]))
    # Product: the mean of the other factor.
    product, moved = multipliers(lambda u: u[:, 0] * u[:, 1], x, x0)
    torch.testing.assert_close(product, torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(moved, torch.tensor([6.0]))


def test_equals_captum_on_layers_that_it_knows(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    from captum.attr import DeepLift

    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 3))
    x, x0 = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = DeepLift(net).attribute(x, x0, target=1).detach()
    m, _ = multipliers(lambda u: net(u)[:, 1], x, x0)
    torch.testing.assert_close(m * (x - x0), expected)


NETS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "layer_norm": lambda u: functional.layer_norm(u, (5,), torch.arange(5.0), torch.ones(5))[:, 2],
    "log_softmax": lambda u: functional.log_softmax(3 * u, dim=1)[:, 1],
    "softmax": lambda u: torch.softmax(u, 1)[:, 0],
    "gelu": lambda u: functional.gelu(u).sum(dim=1),
    "silu": lambda u: functional.silu(u).sum(dim=1),
    "clamp": lambda u: u.clamp(-0.5, 0.5).sum(dim=1),
    "ratio": lambda u: u[:, 0] / torch.exp(u[:, 1]) + 2.0 / torch.exp(u[:, 2]) + 1 / (9 + u[:, 3]),
    "constant over": lambda u: torch.ones(12) / (9 + u[:, 3]),
    "power": lambda u: (u**3).sum(dim=1) + (2 ** u[:, 0]),
    "mixture": lambda u: torch.log(
        0.3 * torch.exp(functional.log_softmax(u, dim=1)[:, 0]) + 0.7 * torch.sigmoid(u[:, 1])
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_complete_and_unchanged_in_value(
    name: str, pair: tuple[torch.Tensor, torch.Tensor]
) -> None:
    x, x0 = pair
    m, moved = multipliers(NETS[name], x, x0)
    plain = NETS[name](torch.cat([x, x0]))
    torch.testing.assert_close(moved, plain[:6] - plain[6:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close((m * (x - x0)).sum(dim=1), moved, atol=1e-5, rtol=1e-5)
    gradient = torch.func.grad(lambda u: NETS[name](torch.cat([u, x0]))[:6].sum())(x)
    assert ((gradient * (x - x0)).sum(dim=1) - moved).abs().max() > 1e-2


def test_without_a_difference_the_derivative_is_used() -> None:
    x = torch.tensor([[0.7, -1.0]])
    m, _ = multipliers(lambda u: torch.exp(u).sum(dim=1), x, x)
    torch.testing.assert_close(m, torch.exp(x))
