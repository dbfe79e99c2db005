"""The game of the domain heads: they answer, they are continued, and the encoder is not touched."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from domainvi.train import DomainGame
from domainvi.train._game import BETAS, LEARNING_RATE, N_STEPS, Referee


@pytest.fixture
def head():
    torch.manual_seed(0)
    return nn.Linear(2, 2)


Z, DOMAIN = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.5]]), torch.tensor([0, 1, 0])


def loss_of(head):
    return lambda: functional.cross_entropy(head(Z), DOMAIN)


def test_a_game_is_several_steps_of_adam(head):
    other = copy.deepcopy(head)
    DomainGame(head).play(loss_of(head))
    adam = torch.optim.Adam(other.parameters(), lr=LEARNING_RATE, betas=BETAS, fused=True)
    for _ in range(N_STEPS):
        adam.zero_grad()
        loss_of(other)().backward()
        adam.step()
    torch.testing.assert_close(head.state_dict(), other.state_dict())
    assert all(p.grad is None for p in head.parameters())


def test_the_heads_get_better(head):
    game, before = DomainGame(head), loss_of(head)().item()
    for _ in range(100):
        game.play(loss_of(head))
    assert loss_of(head)().item() < 0.5 * before


def test_what_the_encoder_left_in_the_gradients_does_not_count(head):
    other = copy.deepcopy(head)
    for p in head.parameters():
        p.grad = torch.full_like(p, 1e3)
    for h in (head, other):
        DomainGame(h).play(loss_of(h))
    assert all(map(torch.equal, head.parameters(), other.parameters()))


def test_a_game_goes_on_where_it_was(head):
    game = DomainGame(head)
    game.play(loss_of(head))
    other = copy.deepcopy(head)
    resumed = DomainGame(other)
    resumed.optimizer.load_state_dict(copy.deepcopy(game.optimizer.state_dict()))
    for g, h in ((game, head), (resumed, other)):
        g.play(loss_of(h))
    assert all(map(torch.equal, head.parameters(), other.parameters()))


def test_a_batch_with_nothing_to_compare_moves_nothing(head):
    before = copy.deepcopy(head.state_dict())
    DomainGame(head).play(lambda: torch.zeros(()))
    torch.testing.assert_close(head.state_dict(), before)


@pytest.mark.parametrize("frozen", [True, False])
def test_without_heads_nobody_plays(frozen):
    module = nn.Linear(2, 2) if frozen else nn.ModuleList()
    module.requires_grad_(False)

    def loss():
        raise AssertionError

    game = DomainGame(module)
    game.play(loss)
    game.optimizer.load_state_dict(game.optimizer.state_dict())


@pytest.fixture
def process_group():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def referee_of(n_rows):
    z = torch.randn(n_rows, 3, generator=torch.Generator().manual_seed(0))
    domain = torch.arange(n_rows) // 2 % 2
    referee = Referee(SimpleNamespace(n_domains=[2]))
    z, code = z + 3 * domain[:, None], torch.zeros_like(domain)
    referee.seen = [(z, domain, code, torch.arange(n_rows))]
    return referee


@pytest.mark.parametrize("n_rows", [80, 4])
def test_processes_that_train_together_have_one_verdict(n_rows, request):
    alone = referee_of(n_rows).verdict()
    request.getfixturevalue("process_group")
    together = referee_of(n_rows).verdict()
    if n_rows == 4:  # too few rows to be probed, which must not keep other processes waiting
        assert alone is together is None
    else:
        assert together == pytest.approx(alone)
        assert alone[0] > 0.9
