"""Loadings that the metadata of a row switch and stretch."""

import torch

from domainvi.disentangled._metadata import ModulatedLoadings


def test_direct_units_count_only_in_rows_of_their_level():
    loadings = ModulatedLoadings(3, 4, n_metadata=2, direct=(0, 1))
    z = torch.ones(2, 3)
    out = loadings(z, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    u = loadings.weight
    torch.testing.assert_close(out[0], u[:, 0] + u[:, 2])
    torch.testing.assert_close(out[1], u[:, 1] + u[:, 2])


def test_interacting_units_start_alike_in_every_row_and_can_be_stretched():
    loadings = ModulatedLoadings(2, 5, n_metadata=3)
    z, m = torch.randn(4, 2), torch.randn(4, 3)
    torch.testing.assert_close(loadings(z, m), z @ loadings.weight.T)
    torch.nn.init.constant_(loadings.embedding[-1].bias, 1.0)
    torch.testing.assert_close(loadings(z, m), 2 * z @ loadings.weight.T)


def test_some_genes_are_a_part_of_all():
    loadings = ModulatedLoadings(2, 5, n_metadata=1)
    z, m, genes = torch.randn(3, 2), torch.randn(3, 1), torch.tensor([4, 0])
    torch.testing.assert_close(loadings(z, m, genes), loadings(z, m)[:, genes])
