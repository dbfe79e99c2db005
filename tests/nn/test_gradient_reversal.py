"""Gradient reversal: the identity forwards, a scaled and negated gradient backwards."""

import pytest
import torch

from domainvi.nn import reverse_gradient


def gradient(weight: float, upstream: torch.Tensor) -> torch.Tensor:
    x = torch.zeros_like(upstream).requires_grad_(True)
    reverse_gradient(x, weight).backward(upstream)
    assert x.grad is not None
    return x.grad


def test_values_pass_unchanged():
    x = torch.tensor([[1.5, -2.0], [0.0, 3.0]])
    assert torch.equal(reverse_gradient(x, 7.0), x)


@pytest.mark.parametrize("weight", [0.25, 1.0, 3.0])
def test_the_gradient_is_negated_and_scaled(weight):
    upstream = torch.tensor([[1.0, -2.0], [0.5, 4.0]])
    torch.testing.assert_close(gradient(weight, upstream), -weight * upstream)


def test_weight_zero_stops_the_gradient():
    assert torch.equal(gradient(0.0, torch.tensor([1e30, -5.0])).abs(), torch.zeros(2))


def test_at_minus_one_it_is_an_ordinary_identity():
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: reverse_gradient(v, -1.0).pow(3), (x,))


def test_weights_of_stacked_reversals_multiply():
    x = torch.ones(2, requires_grad=True)
    reverse_gradient(reverse_gradient(x, 2.0), 3.0).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((2,), 6.0))
