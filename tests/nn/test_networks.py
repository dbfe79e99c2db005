"""Encoder, decoder and heads."""

import math

import pytest
import torch
from torch import nn

from domainvi.nn import Classifier, Decoder, GaussianEncoder, one_hot


def test_set_projection_is_the_projection():
    encoder = GaussianEncoder(4, n_latent=2, n_components=3)
    components, centre = torch.randn(2, 4), torch.randn(4)
    encoder.set_projection(components, centre)
    s = torch.randn(5, 4)
    found = encoder.projection(s)
    torch.testing.assert_close(found[:, :2], (s - centre) @ components.T)
    assert not found[:, 2].any()
    assert encoder.projection.weight.requires_grad


def test_the_projection_is_no_wider_than_the_input():
    assert GaussianEncoder(4, n_latent=2).projection.out_features == 4
    assert GaussianEncoder(400, n_latent=2).projection.out_features == 100


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e6])
def test_moments_are_finite_and_variances_bounded(scale):
    encoder = GaussianEncoder(4, n_latent=3).eval()
    with torch.no_grad():
        encoder.log_variance.weight.mul_(scale)
    mean, variance = encoder(scale * torch.randn(6, 4))
    assert mean.shape == variance.shape == (6, 3)
    assert torch.isfinite(mean).all()
    assert (variance >= math.exp(-8) * 0.999).all()
    assert (variance <= math.exp(4) * 1.001).all()


def test_a_row_is_encoded_by_itself():
    encoder = GaussianEncoder(4, n_latent=2, n_layers=2).train()
    encoder.hidden[3].p = encoder.hidden[7].p = 0.0
    s = torch.randn(6, 4)
    torch.testing.assert_close(encoder(s)[0][:1], encoder(s[:1])[0])
    batch_norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    assert not any(isinstance(m, batch_norms) for m in encoder.modules())


def test_n_layers_is_the_number_of_hidden_layers():
    linear = [m for m in GaussianEncoder(4, 2, n_layers=3).hidden if isinstance(m, nn.Linear)]
    assert len(linear) == 3
    assert sum(isinstance(m, nn.LayerNorm) for m in Decoder(2, 3, 5, n_layers=2).hidden) == 2


def test_the_decoder_depends_on_latents_and_covariates():
    decoder = Decoder(2, n_covariates=3, n_output=5)
    z, covariates = torch.randn(4, 2), torch.eye(3)[[0, 1, 2, 0]]
    found = decoder(z, covariates)
    assert found.shape == (4, 5)
    assert not torch.allclose(found, decoder(z + 1, covariates))
    assert not torch.allclose(found, decoder(z, covariates.roll(1, dims=1)))


def test_some_genes_are_scored_as_among_all():
    decoder = Decoder(2, n_covariates=3, n_output=5).eval()
    z, covariates, genes = torch.randn(4, 2), torch.randn(4, 3), torch.tensor([4, 1])
    torch.testing.assert_close(decoder(z, covariates, genes), decoder(z, covariates)[:, genes])


def test_the_classifier_is_linear():
    head = Classifier(3, 4)
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    torch.testing.assert_close(head(a + b) + head(torch.zeros(2, 3)), head(a) + head(b))
    assert head(a).shape == (2, 4)


def test_one_hot_of_known_and_unknown_codes():
    found = one_hot(torch.tensor([1, -1, 0, 3, 2]), 3)
    assert found.dtype == torch.float32
    assert found.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1]]
