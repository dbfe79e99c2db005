"""Losses of arXiv 2603.08062 against values worked out by hand."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from domainvi.nn import Critic, critic_loss, encoder_loss, gradient_penalty


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


class LinearCritic(nn.Module):
    """D(z) = w z + b, whose gradient is w everywhere."""

    def __init__(self, w: list[float], b: float = 0.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor(b, dtype=torch.float64))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self.w + self.b


class BowlCritic(nn.Module):
    """D(z) = |z|^2 / 2, whose gradient is z."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z.square().sum(dim=1) / 2


def rows(*values: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


SOURCE = rows((0.2, 0.1), (-0.4, 0.5))
TARGET = rows((0.0, 0.0), (0.1, -0.3))
HALF = torch.full((2, 1), 0.5, dtype=torch.float64)


def test_critic_loss_of_a_linear_critic_by_hand():
    critic = LinearCritic([3.0, 4.0], b=0.5)
    # Scores 3 z_1 + 4 z_2 + 1/2; the gradient has norm 5, so the penalty is 10 * (5 - 1)^2.
    source = (softplus(1.5) + softplus(1.3)) / 2
    target = (softplus(0.5) + softplus(-0.4)) / 2
    loss = critic_loss(critic, SOURCE, TARGET, HALF)
    assert loss.item() == pytest.approx(-source + target + 160.0, abs=1e-7)


def test_a_critic_of_slope_one_pays_no_penalty():
    critic = LinearCritic([0.6, -0.8])
    assert gradient_penalty(critic, SOURCE, TARGET, HALF).item() == pytest.approx(0.0, abs=1e-15)
    with_penalty = critic_loss(critic, SOURCE, TARGET, HALF)
    torch.testing.assert_close(with_penalty, critic_loss(critic, SOURCE, TARGET, HALF, penalty=0))


def test_a_flat_critic_pays_ten_and_has_a_finite_gradient():
    critic = LinearCritic([0.0, 0.0])
    loss = critic_loss(critic, SOURCE, TARGET, HALF)
    loss.backward()
    # The norm is the root of 1e-10, not 0, so that its derivative exists.
    assert loss.item() == pytest.approx(10 * (1 - 1e-5) ** 2, abs=1e-12)
    assert torch.isfinite(critic.w.grad).all()


@pytest.mark.parametrize(("mix", "expected"), [(0.0, 1.0), (0.2, 0.0), (1.0, 16.0), (0.6, 4.0)])
def test_the_penalty_is_taken_between_source_and_target(mix, expected):
    # z_hat = mix * (3, 4) has norm 5 mix, and so has the gradient there.
    mixes = torch.full((1, 1), mix, dtype=torch.float64)
    found = gradient_penalty(BowlCritic(), rows((3.0, 4.0)), rows((0.0, 0.0)), mixes)
    assert found.item() == pytest.approx(expected, abs=1e-4)


def test_each_pair_has_its_own_mix():
    source, target = rows((2.0, 0.0), (4.0, 0.0)), rows((0.0, 2.0), (0.0, 0.0))
    mix = torch.tensor([[0.5], [0.75]], dtype=torch.float64)
    # z_hat = (1, 1) and (3, 0).
    expected = ((math.sqrt(2) - 1) ** 2 + (3 - 1) ** 2) / 2
    found = gradient_penalty(BowlCritic(), source, target, mix)
    assert found.item() == pytest.approx(expected, abs=1e-9)


def test_mixes_are_uniform_by_default():
    torch.manual_seed(0)
    n = 4000
    source, target = torch.zeros(n, 2), torch.zeros(n, 2)
    source[:, 0] = 1.0
    # At the source end D = 1/2, at the target end 0; the gradient's norm is a ~ U(0, 1).
    gap = softplus(0.0) - softplus(0.5)
    loss = critic_loss(BowlCritic(), source, target)
    assert loss.item() == pytest.approx(gap + 10 / 3, abs=0.1)


def test_unequal_sizes_pair_the_first_rows_and_average_all():
    critic = LinearCritic([1.0, 0.0])
    source, target = rows((1.0, 0.0)), rows((0.0, 0.0), (2.0, 0.0), (4.0, 0.0))
    expected = -softplus(1) + (softplus(0) + softplus(2) + softplus(4)) / 3
    for mix in (None, HALF[:1]):
        loss = critic_loss(critic, source, target, mix)
        assert loss.item() == pytest.approx(expected, abs=1e-8)
    swapped = critic_loss(critic, target, source)
    assert swapped.item() == pytest.approx(-expected, abs=1e-8)


def test_the_critic_loss_does_not_reach_the_latents():
    critic = Critic(2)
    source, target = torch.randn(3, 2, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    critic_loss(critic, source, target).backward()
    assert source.grad is None
    assert target.grad is None
    assert all(p.grad is not None for p in critic.parameters())


def test_encoder_loss_and_gradient_by_hand():
    critic = LinearCritic([3.0, 4.0], b=0.5)
    target = TARGET.clone().requires_grad_(True)
    loss = encoder_loss(critic, target)
    loss.backward()
    assert loss.item() == pytest.approx(-(softplus(0.5) + softplus(-0.4)) / 2, abs=1e-12)
    # d/dz of -softplus(D) / n = -sigmoid(D) w / n: towards where the critic scores source.
    slope = -torch.sigmoid(torch.tensor([[0.5], [-0.4]], dtype=torch.float64)) / 2
    torch.testing.assert_close(target.grad, slope * torch.tensor([[3.0, 4.0]]).double())


def test_the_encoder_loss_does_not_reach_the_critic():
    critic = Critic(2)
    target = torch.randn(3, 2, requires_grad=True)
    encoder_loss(critic, target).backward()
    assert all(p.grad is None for p in critic.parameters())
    assert all(p.requires_grad for p in critic.parameters())
    assert target.grad.any()


def test_gradients_of_the_critic_loss_are_right():
    # Second derivatives too: the penalty is itself a function of a gradient.
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 3), nn.Softplus(), nn.Linear(3, 1), nn.Flatten(0)).double()
    names = [name for name, _ in critic.named_parameters()]

    class Fixed(nn.Module):
        def __init__(self, values: tuple[torch.Tensor, ...]) -> None:
            super().__init__()
            self.values = dict(zip(names, values, strict=True))

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return functional_call(critic, self.values, (z,))

    values = tuple(p.detach().clone().requires_grad_(True) for p in critic.parameters())
    assert torch.autograd.gradcheck(lambda *v: critic_loss(Fixed(v), SOURCE, TARGET, HALF), values)


def test_the_critic_is_the_papers():
    layers = list(Critic(32).network)
    widths = [(m.in_features, m.out_features) for m in layers if isinstance(m, nn.Linear)]
    assert widths == [(32, 256), (256, 128), (128, 64), (64, 1)]
    slopes = [m.negative_slope for m in layers if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * 3
    assert len(layers) == 7
    assert Critic(32)(torch.randn(5, 32)).shape == (5,)


def test_training_the_critic_and_the_target_closes_the_gap():
    torch.manual_seed(0)
    source, target = torch.randn(64, 2), torch.randn(64, 2) + 3
    shift = torch.zeros(2, requires_grad=True)
    critic = Critic(2, widths=(32, 16, 8))
    of_critic = torch.optim.Adam(critic.parameters(), lr=3e-3)
    of_shift = torch.optim.Adam([shift], lr=3e-2)
    for _ in range(300):
        of_critic.zero_grad()
        critic_loss(critic, source, target + shift).backward()
        of_critic.step()
        of_shift.zero_grad()
        encoder_loss(critic, target + shift).backward()
        of_shift.step()
    gap = (target + shift).mean(dim=0) - source.mean(dim=0)
    assert gap.detach().norm().item() < 1.5
