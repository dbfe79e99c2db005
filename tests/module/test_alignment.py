"""The adversary inside the module: what reaches the encoder, what reaches the heads."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from domainvi.errors import InputError
from domainvi.module import DomainAlignment
from domainvi.module._alignment import balanced_domain_accuracy
from domainvi.nn import (
    balanced_cross_entropy,
    critic_loss,
    encoder_loss,
    one_hot,
    standardise_columns,
)

KINDS = ("conditional", "marginal", "wasserstein")


def encoder_gradients(module, tensors, weight):
    torch.manual_seed(5)
    module.zero_grad()
    module.alignment.is_source[0] = True
    _, _, output = module(tensors, loss_kwargs={"adversary_weight": weight})
    output.loss.backward()
    heads = {id(p) for p in module.alignment.parameters()}
    of_heads = [p.grad for p in module.alignment.parameters()]
    named = module.named_parameters()
    return {n: p.grad.clone() for n, p in named if id(p) not in heads}, of_heads


def same_start(build, adversary):
    torch.manual_seed(3)
    return build(adversary=adversary, dropout_rate=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_zero_is_none_to_the_bit(build, batch, kind):
    none, _ = encoder_gradients(same_start(build, "none"), batch(), 1.0)
    zero, heads = encoder_gradients(same_start(build, kind), batch(), 0.0)
    assert zero.keys() == none.keys()
    assert all(torch.equal(zero[name], none[name]) for name in none)
    assert all(h.any() for h in heads)


@pytest.mark.parametrize("kind", KINDS)
def test_another_weight_reaches_the_encoder_and_not_the_decoder(build, batch, kind):
    zero, before = encoder_gradients(same_start(build, kind), batch(), 0.0)
    some, after = encoder_gradients(same_start(build, kind), batch(), 0.5)
    twice, _ = encoder_gradients(same_start(build, kind), batch(), 1.0)
    part = "modalities.stack.0."
    name = part + "z_encoder.mean.weight"
    pull = some[name] - zero[name]
    assert pull.abs().max() > 1e-4
    torch.testing.assert_close(twice[name] - zero[name], 2 * pull, rtol=1e-3, atol=1e-5)
    for untouched in (part + "decoder.output.weight", "classifier.linear.weight"):
        assert torch.equal(some[untouched], zero[untouched])
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b)


def test_classes_of_one_domain_take_no_part():
    alignment = DomainAlignment("conditional", 2, [2], 2)
    alignment.support_0.copy_(torch.tensor([[True, True], [True, False]]))
    code, domain = torch.tensor([0, 1, 0, 0, 1]), torch.tensor([0, 0, 1, 1, 1])
    before = torch.randn(5, 2)
    loss, _ = alignment(before, code, [domain], 1.0)
    alone, _ = alignment(before, torch.tensor([0, 1, 0, 0, 0]), [domain], 1.0)
    assert not torch.isclose(loss, alone)
    scores = alignment.heads[0](standardise_columns(before), one_hot(code, 2), 0.0)
    shared = [0, 2, 3]
    expected = balanced_cross_entropy(scores[shared], domain[shared])
    torch.testing.assert_close(loss, expected)


def test_without_a_shared_class_nothing_is_aligned():
    alignment = DomainAlignment("conditional", 2, [2], 2)
    alignment.support_0.copy_(torch.eye(2, dtype=torch.bool))
    z = torch.randn(4, 2, requires_grad=True)
    code = torch.tensor([0, 0, 1, 1])
    loss, _ = alignment(z, code, [code], 1.0)
    loss.backward()
    assert loss.item() == 0.0
    assert not z.grad.any()


@pytest.mark.parametrize(
    ("kind", "n_domains"), [("conditional", 1), ("conditional", 2), ("marginal", 1)]
)
def test_rows_of_one_domain_are_left_alone(kind, n_domains):
    alignment = DomainAlignment(kind, 2, [n_domains], 2)
    z = torch.randn(6, 2, requires_grad=True)
    loss, _ = alignment(z, torch.arange(6) % 2, [torch.zeros(6).long()], 1.0)
    loss.backward()
    assert loss.item() == 0.0
    assert not z.grad.any()


@pytest.mark.parametrize("kind", ["conditional", "marginal"])
def test_shrinking_and_shifting_hide_nothing(kind):
    alignment = DomainAlignment(kind, 3, [2], 2)
    z, code, domain = torch.randn(8, 3), torch.arange(8) % 2, torch.arange(8) // 4
    moved = z * torch.tensor([0.01, 1.0, 20.0]) + 5
    found = [alignment(x, code, [domain], 1.0)[0] for x in (z, moved)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


def test_marginal_ignores_classes():
    alignment = DomainAlignment("marginal", 2, [2], 3)
    z, domain = torch.randn(3, 2), torch.tensor([0, 1, 1])
    losses = [alignment(z, torch.tensor(c), [domain], 1.0)[0] for c in ([0, 1, 2], [1, 1, 1])]
    assert torch.equal(losses[0], losses[1])


def test_each_domain_column_has_its_adversary():
    alignment = DomainAlignment("marginal", 3, [2, 4], 3)
    z, code = torch.randn(5, 3), torch.zeros(5).long()
    first, second = torch.tensor([0, 1, 0, 1, 1]), torch.tensor([3, 2, 1, 0, 0])
    assert [h.n_domains for h in alignment.heads] == [2, 4]
    for head in alignment.heads:
        nn.init.zeros_(head.network[-1].weight)
        nn.init.zeros_(head.network[-1].bias)
    loss, metrics = alignment(z, code, [first, second], 1.0)
    assert loss.item() == pytest.approx(math.log(2) + math.log(4), rel=1e-6)
    assert metrics["domain_accuracy"].item() == 0.5


def test_wasserstein_is_critic_loss_plus_weighted_pull():
    alignment = DomainAlignment("wasserstein", 2, [3], 2)
    alignment.is_source.copy_(torch.tensor([True, False, False]))
    z, domain = torch.randn(6, 2), torch.tensor([0, 1, 0, 2, 1, 0])
    critic, source, target = alignment.heads[0], z[[0, 2, 5]], z[[1, 3, 4]]
    state = torch.random.get_rng_state()
    loss, metrics = alignment(z, torch.zeros(6).long(), [domain], 0.3)
    assert torch.equal(state, torch.random.get_rng_state())
    chance = np.random.default_rng(0)
    source = source[torch.from_numpy(chance.permutation(3))]
    shuffled = target[torch.from_numpy(chance.permutation(3))]
    mix = torch.from_numpy(chance.random((3, 1))).float()
    discrimination = critic_loss(critic, source, shuffled, mix)
    expected = discrimination + 0.3 * encoder_loss(critic, target)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(metrics["adversary_loss"], discrimination)


def test_wasserstein_leaves_the_source_where_it_is():
    alignment = DomainAlignment("wasserstein", 2, [2], 2)
    alignment.is_source[0] = True
    z = torch.randn(6, 2, requires_grad=True)
    domain = torch.tensor([0, 0, 0, 1, 1, 1])
    loss, _ = alignment(z, torch.zeros(6).long(), [domain], 1.0)
    loss.backward()
    assert not z.grad[:3].any()
    assert z.grad[3:].any(dim=1).all()


def test_wasserstein_can_be_evaluated_without_a_graph():
    alignment = DomainAlignment("wasserstein", 2, [2], 2)
    alignment.is_source[0] = True
    z, domain = torch.randn(4, 2), torch.tensor([0, 0, 1, 1])
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            loss, _ = alignment(z, torch.zeros(4).long(), [domain], 0.0)
        assert torch.isfinite(loss)


@pytest.mark.parametrize(("kind", "chance"), [("conditional", 0.25), ("wasserstein", 0.5)])
def test_chance(kind, chance):
    assert DomainAlignment(kind, 2, [4, 7], 3).chance == chance


def test_domain_accuracy_counts_domains_the_same():
    scores = torch.eye(3)[[0, 0, 0, 1, 0]]
    # Domain 0: three of three; domain 1: one of two; domain 2 is absent.
    found = balanced_domain_accuracy(scores, torch.tensor([0, 0, 0, 1, 1]))
    assert found.item() == pytest.approx(0.75)


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match=r"adversary='gan' .* conditional, marginal"):
        DomainAlignment("gan", 2, [2], 2)
