"""One latent space for several modalities: what is missing has no say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from scvi import REGISTRY_KEYS
from torch.distributions import Normal, Poisson

from domainvi.data import MODALITIES
from domainvi.errors import InputError
from domainvi.module import DomainVAE
from domainvi.module._blocks import BlockDistribution
from domainvi.module._modalities import keep_one

N_RNA, N_MIRNA = 7, 5
Tensors = dict[str, torch.Tensor]
Make = Callable[..., Tensors]


@pytest.fixture
def module() -> DomainVAE:
    """Seven genes of log values and five of counts; not in training."""
    return DomainVAE(
        {"rna": N_RNA, "mirna": N_MIRNA},
        [2],
        3,
        n_latent=4,
        n_hidden=8,
        likelihood={"rna": "normal", "mirna": "nb"},
        dropout_rate=0.0,
        adversary="conditional",
    ).eval()


@pytest.fixture
def rows(batch: Make) -> Tensors:
    """Six rows: two with both modalities, two with one, two with the other."""
    tensors = batch()
    x = tensors[REGISTRY_KEYS.X_KEY]
    x[:, N_RNA:] = torch.poisson(x[:, N_RNA:].exp())
    has = torch.tensor([[1, 1], [1, 1], [1, 0], [1, 0], [0, 1], [0, 1]])
    return tensors | {MODALITIES: has.float()}


def embed(module: DomainVAE, tensors: Tensors) -> Any:
    return module.embed(**module._get_inference_input(tensors))


def loss(module: DomainVAE, tensors: Tensors, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    return module(tensors, **kwargs)[2]


def spoilt(tensors: Tensors) -> Tensors:
    """Put other values where a modality is missing."""
    x = tensors[REGISTRY_KEYS.X_KEY].clone()
    x[2:4, N_RNA:] = 50.0
    x[4:, :N_RNA] = -50.0
    return tensors | {REGISTRY_KEYS.X_KEY: x}


def test_what_is_missing_has_no_say(module: DomainVAE, rows: Tensors) -> None:
    for a, b in zip(embed(module, rows), embed(module, spoilt(rows)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    a, b = loss(module, rows), loss(module, spoilt(rows))
    torch.testing.assert_close(a.loss, b.loss, rtol=0, atol=0)
    torch.testing.assert_close(
        a.reconstruction_loss["reconstruction_loss"], b.reconstruction_loss["reconstruction_loss"]
    )


def test_one_modality_is_its_encoder_times_the_prior(module: DomainVAE, rows: Tensors) -> None:
    out = embed(module, rows)
    part = module.modalities.parts["mirna"]
    u, _ = part.input_scale(rows[REGISTRY_KEYS.X_KEY][4:, N_RNA:])
    alone = part.embed(u, rows[REGISTRY_KEYS.BATCH_KEY][4:].squeeze(1))
    precision = 1 + 1 / alone.variance
    torch.testing.assert_close(out.variance[4:], 1 / precision)
    torch.testing.assert_close(out.mean[4:], alone.mean / alone.variance / precision)


def test_a_row_without_any_modality_is_the_prior(module: DomainVAE, rows: Tensors) -> None:
    out = embed(module, rows | {MODALITIES: torch.zeros(6, 2)})
    assert not out.mean.any()
    assert (out.variance == 1).all()


def test_looking_at_one_modality(module: DomainVAE, rows: Tensors) -> None:
    with module.modalities.looking_at([True, False]):
        hidden = embed(module, rows)
    assert module.modalities.visible.all()
    masked = embed(module, rows | {MODALITIES: rows[MODALITIES] * torch.tensor([1.0, 0.0])})
    torch.testing.assert_close(hidden.mean, masked.mean)


def test_a_missing_modality_teaches_no_encoder(module: DomainVAE, rows: Tensors) -> None:
    only = {k: v[2:4] for k, v in rows.items()}
    loss(module, only).loss.backward()
    missing, present = module.modalities.parts["mirna"], module.modalities.parts["rna"]
    assert not missing.z_encoder.mean.weight.grad.any()
    assert not missing.decoder.output.weight.grad.any()
    assert present.z_encoder.mean.weight.grad.any()
    assert present.decoder.output.weight.grad.any()


def test_reconstruction_adds_the_modalities_that_there_are(
    module: DomainVAE, rows: Tensors
) -> None:
    torch.manual_seed(0)
    inference, generative, output = module(rows)
    x, blocks = rows[REGISTRY_KEYS.X_KEY], generative["px"].blocks
    rna = -blocks[0].log_prob(x[:, :N_RNA]).sum(dim=1)
    mirna = -blocks[1].log_prob(x[:, N_RNA:]).sum(dim=1)
    want = torch.stack([*(rna + mirna)[:2], *rna[2:4], *mirna[4:]])
    torch.testing.assert_close(output.reconstruction_loss["reconstruction_loss"], want)
    assert inference["library"].shape == (6, 2)


def test_some_genes_in_any_order(module: DomainVAE, rows: Tensors) -> None:
    genes = torch.tensor([9, 0, 11, 3, 7])
    torch.manual_seed(0)
    _, every, _ = module(rows)
    torch.manual_seed(0)
    _, some, _ = module(rows, generative_kwargs={"genes": genes}, loss_kwargs={"genes": genes})
    x = rows[REGISTRY_KEYS.X_KEY]
    torch.testing.assert_close(some["px"].log_prob(x[:, genes]), every["px"].log_prob(x)[:, genes])
    torch.testing.assert_close(some["px"].mean, every["px"].mean[:, genes])


def test_genes_of_one_modality_alone(module: DomainVAE, rows: Tensors) -> None:
    genes = torch.tensor([2, 0])
    output = loss(module, rows, generative_kwargs={"genes": genes}, loss_kwargs={"genes": genes})
    assert torch.isfinite(output.loss)
    assert not output.reconstruction_loss["reconstruction_loss"][4:].any()


def test_linear_members_are_averaged_over_what_is_there(module: DomainVAE) -> None:
    modalities = module.modalities
    for part in modalities.parts.values():
        part.set_linear_members(2)
    p = torch.tensor([[[0.9, 0.05, 0.05]] * 3, [[0.1, 0.8, 0.1]] * 3])
    seen = torch.tensor([[True, True], [False, True], [False, False]])
    pooled, has_linear = modalities.pool(list(p.log()), seen)
    want = torch.tensor([[0.5, 0.425, 0.075], [0.1, 0.8, 0.1]])
    torch.testing.assert_close(torch.exp(pooled[:2]), want)
    assert has_linear.tolist() == [[True], [True], [False]]
    # A modality of which experts of single rows had three quarters counts a quarter.
    modalities.parts["rna"].linear.row_wise_share.fill_(0.75)
    got = torch.exp(modalities.pool(list(p.log()), seen)[0])
    torch.testing.assert_close(got[0], 0.2 * p[0, 0] + 0.8 * p[1, 0])
    torch.testing.assert_close(got[1], want[1])
    assert modalities.row_wise_share == 0.375
    modalities.parts["mirna"].set_linear_members(0)
    pooled, has_linear = modalities.pool([p[0].log(), None], seen)
    torch.testing.assert_close(torch.exp(pooled[0]), p[0, 0])
    assert has_linear.tolist() == [[True], [False], [False]]
    assert modalities.n_members == 2
    assert modalities.row_wise_share == 0.75


def test_rows_without_linear_members_are_the_networks(module: DomainVAE, rows: Tensors) -> None:
    out = embed(module, rows)
    assert torch.equal(out.linear, out.network)
    module.modalities.parts["rna"].set_linear_members(2)
    module.share_vote()
    out = embed(module, rows)
    torch.testing.assert_close(out.linear[:4].exp(), torch.full((4, 3), 1 / 3))
    assert torch.equal(out.linear[4:], out.network[4:])


def test_the_state_can_be_loaded_and_holds_one_head(module: DomainVAE, rows: Tensors) -> None:
    state = module.state_dict()
    assert [k for k in state if "classifier" in k] == [
        "classifier.linear.weight",
        "classifier.linear.bias",
    ]
    copy = DomainVAE(
        {"rna": N_RNA, "mirna": N_MIRNA},
        [2],
        3,
        n_latent=4,
        n_hidden=8,
        likelihood={"rna": "normal", "mirna": "nb"},
    ).eval()
    copy.load_state_dict(state)
    for a, b in zip(embed(module, rows), embed(copy, rows), strict=True):
        assert torch.equal(a, b)


def test_one_modality_is_only_where_there_is_one(module: DomainVAE) -> None:
    with pytest.raises(InputError, match="models of one modality, and this one has rna, mirna"):
        _ = module.modalities.only


def test_training_shows_every_second_row_one_modality() -> None:
    has = torch.tensor([[True, True, True]] * 4000 + [[False, True, False]] * 10)
    kept = keep_one(has, 0.5)
    assert not (kept & ~has).any()
    assert kept.any(dim=1).all()
    n = kept[:4000].sum(dim=1)
    assert set(n.tolist()) == {1, 3}
    assert abs((n == 1).float().mean() - 0.5) < 0.03
    alone = kept[:4000][n == 1].float().mean(dim=0)
    assert (abs(alone - 1 / 3) < 0.04).all()


def test_blocks_keep_their_own_distribution() -> None:
    rate = torch.tensor([[3.0], [4.0]])
    blocks = [Normal(torch.zeros(2, 2), 1.0), Poisson(rate, validate_args=False)]
    has = torch.tensor([[True, True], [False, True]])
    joint = BlockDistribution(blocks, [torch.tensor([2, 0]), torch.tensor([1])], has)
    x = torch.tensor([[0.5, 2.0, 1.5], [9.0, 1.0, 9.0]])
    normal = Normal(0.0, 1.0).log_prob
    want = [
        [normal(x[0, 0]), Poisson(3.0).log_prob(x[0, 1]), normal(x[0, 2])],
        [0.0, Poisson(4.0).log_prob(x[1, 1]), 0.0],
    ]
    torch.testing.assert_close(joint.log_prob(x), torch.tensor(want))
    assert joint.mean.tolist() == [[0.0, 3.0, 0.0], [0.0, 4.0, 0.0]]
    assert joint.sample().shape == (2, 3)
    assert joint.sample((5,)).shape == (5, 2, 3)
