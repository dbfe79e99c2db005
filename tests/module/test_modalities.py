"""One latent space for several modalities: what is missing has no say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from scvi import REGISTRY_KEYS
from torch.distributions import Normal, Poisson

from domainvi.data import MODALITIES
from domainvi.module import MultimodalVAE
from domainvi.module._blocks import BlockDistribution
from domainvi.module._multimodal_vae import keep_one

N_RNA, N_MIRNA = 7, 5
Tensors = dict[str, torch.Tensor]
Make = Callable[..., Tensors]


@pytest.fixture
def module() -> MultimodalVAE:
    """Seven genes of log values and five of counts; not in training."""
    return MultimodalVAE(
        {"rna": N_RNA, "mirna": N_MIRNA},
        [2],
        3,
        {"rna": "normal", "mirna": "nb"},
        n_latent=4,
        n_hidden=8,
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


def embed(module: MultimodalVAE, tensors: Tensors) -> Any:
    return module.embed(**module._get_inference_input(tensors))


def loss(module: MultimodalVAE, tensors: Tensors, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    return module(tensors, **kwargs)[2]


def spoilt(tensors: Tensors) -> Tensors:
    """Put other values where a modality is missing."""
    x = tensors[REGISTRY_KEYS.X_KEY].clone()
    x[2:4, N_RNA:] = 50.0
    x[4:, :N_RNA] = -50.0
    return tensors | {REGISTRY_KEYS.X_KEY: x}


def test_what_is_missing_has_no_say(module: MultimodalVAE, rows: Tensors) -> None:
    for a, b in zip(embed(module, rows), embed(module, spoilt(rows)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    a, b = loss(module, rows), loss(module, spoilt(rows))
    torch.testing.assert_close(a.loss, b.loss, rtol=0, atol=0)
    torch.testing.assert_close(
        a.reconstruction_loss["reconstruction_loss"], b.reconstruction_loss["reconstruction_loss"]
    )


def test_one_modality_is_its_encoder_times_the_prior(module: MultimodalVAE, rows: Tensors) -> None:
    out = embed(module, rows)
    part = module.parts["mirna"]
    alone = part.embed(rows[REGISTRY_KEYS.X_KEY][4:, N_RNA:], rows[REGISTRY_KEYS.BATCH_KEY][4:])
    precision = 1 + 1 / alone.variance
    torch.testing.assert_close(out.variance[4:], 1 / precision)
    torch.testing.assert_close(out.mean[4:], alone.mean / alone.variance / precision)


def test_a_row_without_any_modality_is_the_prior(module: MultimodalVAE, rows: Tensors) -> None:
    out = embed(module, rows | {MODALITIES: torch.zeros(6, 2)})
    assert not out.mean.any()
    assert (out.variance == 1).all()


def test_looking_at_one_modality(module: MultimodalVAE, rows: Tensors) -> None:
    with module.looking_at([True, False]):
        hidden = embed(module, rows)
    assert module.visible.all()
    masked = embed(module, rows | {MODALITIES: rows[MODALITIES] * torch.tensor([1.0, 0.0])})
    torch.testing.assert_close(hidden.mean, masked.mean)


def test_a_missing_modality_teaches_no_encoder(module: MultimodalVAE, rows: Tensors) -> None:
    only = {k: v[2:4] for k, v in rows.items()}
    loss(module, only).loss.backward()
    missing, present = module.parts["mirna"], module.parts["rna"]
    assert not missing.z_encoder.mean.weight.grad.any()
    assert not missing.decoder.output.weight.grad.any()
    assert present.z_encoder.mean.weight.grad.any()
    assert present.decoder.output.weight.grad.any()


def test_reconstruction_adds_the_modalities_that_there_are(
    module: MultimodalVAE, rows: Tensors
) -> None:
    torch.manual_seed(0)
    inference, generative, output = module(rows)
    x, blocks = rows[REGISTRY_KEYS.X_KEY], generative["px"].blocks
    rna = -blocks[0].log_prob(x[:, :N_RNA]).sum(dim=1)
    mirna = -blocks[1].log_prob(x[:, N_RNA:]).sum(dim=1)
    want = torch.stack([*(rna + mirna)[:2], *rna[2:4], *mirna[4:]])
    torch.testing.assert_close(output.reconstruction_loss["reconstruction_loss"], want)
    assert inference["library"].shape == (6, 2)


def test_some_genes_in_any_order(module: MultimodalVAE, rows: Tensors) -> None:
    genes = torch.tensor([9, 0, 11, 3, 7])
    torch.manual_seed(0)
    _, every, _ = module(rows)
    torch.manual_seed(0)
    _, some, _ = module(rows, generative_kwargs={"genes": genes}, loss_kwargs={"genes": genes})
    x = rows[REGISTRY_KEYS.X_KEY]
    torch.testing.assert_close(some["px"].log_prob(x[:, genes]), every["px"].log_prob(x)[:, genes])
    torch.testing.assert_close(some["px"].mean, every["px"].mean[:, genes])


def test_genes_of_one_modality_alone(module: MultimodalVAE, rows: Tensors) -> None:
    genes = torch.tensor([2, 0])
    output = loss(module, rows, generative_kwargs={"genes": genes}, loss_kwargs={"genes": genes})
    assert torch.isfinite(output.loss)
    assert not output.reconstruction_loss["reconstruction_loss"][4:].any()


def test_linear_members_are_averaged_over_what_is_there(module: MultimodalVAE) -> None:
    for part in module.parts.values():
        part.set_linear_members(2)
    p = torch.tensor([[[0.9, 0.05, 0.05]] * 3, [[0.1, 0.8, 0.1]] * 3])
    seen = torch.tensor([[True, True], [False, True], [False, False]])
    network = torch.log(torch.tensor([[0.2, 0.3, 0.5]] * 3))
    want = torch.tensor([[0.5, 0.425, 0.075], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]])
    torch.testing.assert_close(torch.exp(module.pool(p.log(), seen, network)), want)
    # A part whose readings of the target agree at 0.5 counts a quarter.
    module.parts["rna"].linear.baseline_share.fill_(0.5)
    got = torch.exp(module.pool(p.log(), seen, network))
    torch.testing.assert_close(got[0], 0.2 * p[0, 0] + 0.8 * p[1, 0])
    torch.testing.assert_close(got[1:], want[1:])
    module.parts["mirna"].set_linear_members(0)
    got = torch.exp(module.pool(p.log(), seen, network))
    torch.testing.assert_close(got[0], p[0, 0])
    torch.testing.assert_close(got[1], network[1].exp())
    assert module.linear.n_members == 2


def test_parts_share_the_head(module: MultimodalVAE) -> None:
    assert all(part.classifier is module.classifier for part in module.parts.values())
    copy = MultimodalVAE(
        {"rna": N_RNA, "mirna": N_MIRNA},
        [2],
        3,
        {"rna": "normal", "mirna": "nb"},
        n_latent=4,
        n_hidden=8,
    )
    copy.load_state_dict(module.state_dict())
    assert copy.parts["rna"].classifier is copy.classifier


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
