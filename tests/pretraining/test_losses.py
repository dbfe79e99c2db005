"""Pretraining losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from domainvi.pretraining._objectives import byol_loss, follow, info_nce, vime_loss


def test_info_nce_by_hand() -> None:
    # Two rows. u1 = (1,0), u2 = (0,1), views v1 = (0,1), v2 = (0,1) after normalisation.
    a = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    b = torch.tensor([[0.0, 1.0], [0.0, 3.0]])
    tau = 0.5
    e, one = math.exp(1 / tau), 1.0
    losses = [
        -math.log(one / (one + one + one)),  # u1 with v1: 0; others u2: 0, v2: 0
        -math.log(e / (one + e + e)),  # u2 with v2: 1; others u1: 0, v1: 1
        -math.log(one / (one + e + e)),  # v1 with u1: 0; others u2: 1, v2: 1
        -math.log(e / (one + e + e)),  # v2 with u2: 1; others u1: 0, v1: 1
    ]
    assert float(info_nce(a, b, tau)) == pytest.approx(sum(losses) / 4, rel=1e-6)


@pytest.mark.parametrize("n", [2, 5])
def test_info_nce_of_collapsed_vectors_is_that_of_guessing(n: int) -> None:
    u = torch.ones(n, 3)
    assert float(info_nce(u, u, 0.1)) == pytest.approx(math.log(2 * n - 1), rel=1e-6)


def test_byol_by_hand() -> None:
    # Cosines 1, 0 and -1: losses 0, 2 and 4.
    p = torch.tensor([[3.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    t = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-7.0, 0.0]])
    assert float(byol_loss(p, t)) == pytest.approx(2.0)


def test_byol_gives_the_target_no_gradient() -> None:
    p, t = torch.rand(4, 3, requires_grad=True), torch.rand(4, 3, requires_grad=True)
    byol_loss(p, t).backward()
    assert t.grad is None
    assert p.grad is not None
    assert p.grad.abs().sum() > 0


def test_average_follows_by_hand() -> None:
    average, online = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(average.weight, 1.0)
    nn.init.constant_(online.weight, 2.0)
    follow(average, online, 0.9)
    assert average.weight.item() == pytest.approx(1.1)
    follow(average, online, 0.0)
    assert average.weight.item() == pytest.approx(2.0)


def test_vime_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])
    mask = torch.tensor([[True, False]])
    features, x = torch.tensor([[1.0, 4.0]]), torch.tensor([[0.0, 2.0]])
    # Probabilities 1/2 for a masked value and 3/4 for one that is not; squares 1 and 4.
    found = (math.log(2) + math.log(4)) / 2
    assert float(vime_loss(logits, mask, features, x, 3.0)) == pytest.approx(found + 3 * 2.5)
    assert float(vime_loss(logits, mask, features, x, 0.0)) == pytest.approx(found)
