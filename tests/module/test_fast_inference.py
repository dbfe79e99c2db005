"""Rows read in blocks against the module's own embedding."""

import numpy as np
import pytest
import torch
from scipy import sparse

from domainvi.data import Phenotype
from domainvi.module import RowReader, _fast_inference
from domainvi.nn import class_log_softmax


def trained(build, likelihood):
    module = build(likelihood).eval()
    generator = torch.Generator().manual_seed(0)
    modality = module.modalities.only
    modality.set_linear_members(3)
    module.share_vote()
    state = modality.state_dict()
    for name in ("linear.centre", "linear.coef", "reference_basis", "standardiser.loc"):
        state[name] = torch.randn(state[name].shape, generator=generator)
    for name in ("linear.scale", "standardiser.scale"):
        state[name] = torch.rand(state[name].shape, generator=generator) + 0.1
    modality.load_state_dict(state)
    return module


@pytest.mark.parametrize("likelihood", ["nb", "normal"])
@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize("with_factor", [False, True])
def test_blocks_are_embedded_as_rows_are(build, likelihood, csr, with_factor):
    module, rng = trained(build, likelihood), np.random.default_rng(0)
    x = rng.poisson(1.0, (30, 12)).astype(np.float32)
    factor = rng.random((30, 1)).astype(np.float32) + 0.5 if with_factor else None
    block = sparse.csr_matrix(x) if csr else x
    with torch.inference_mode():
        found = RowReader(module).embed(block, 1, factor)
        factors = None if factor is None else torch.from_numpy(factor)
        expected = module.embed(torch.from_numpy(x), torch.ones(30, 1), factors)
    for name, value in expected._asdict().items():
        torch.testing.assert_close(getattr(found, name), value, rtol=1e-4, atol=1e-5)


def test_optional_parts_are_left_out_unless_wanted(build):
    module = trained(build, "normal")
    with torch.inference_mode():
        found = RowReader(module, wanted=()).embed(np.ones((5, 12), np.float32), 0)
    assert found.reference.shape == found.variance.shape == (5, 0)
    assert found.mean.shape[0] == 5
    assert found.linear.shape == (5, 3)


@pytest.mark.parametrize("likelihood", ["nb", "normal"])
@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize("with_factor", [False, True])
def test_auxiliary_phenotypes_are_scored_as_rows_are(
    build, likelihood, csr, with_factor, monkeypatch
):
    monkeypatch.setattr(_fast_inference, "PHENOTYPE_VALUES", 7 * 12)
    phenotypes = [Phenotype("sex", ("f", "m")), Phenotype("age")]
    module = build(likelihood, phenotypes=phenotypes).eval()
    torch.nn.init.normal_(module.phenotypes.coef)
    rng = np.random.default_rng(0)
    x = rng.poisson(1.0, (30, 12)).astype(np.float32)
    factor = rng.random((30, 1)).astype(np.float32) + 0.5 if with_factor else None
    mean, factors = torch.randn(30, 4), None if factor is None else torch.from_numpy(factor)
    block = sparse.csr_matrix(x) if csr else x
    with torch.inference_mode():
        found = RowReader(module).score_phenotypes(mean, block, 1, factor)
        u, _ = module.log_values(torch.from_numpy(x), factors)
        domain = torch.ones(30, dtype=torch.long)
        s = module.modalities.only.standardised_by_domain(u, domain)
        expected = module.phenotypes(mean, s)
    assert found[1].std() > 0
    for part, whole in zip(found, expected, strict=True):
        assert part.shape == (30, 3)
        torch.testing.assert_close(part, whole)


def test_class_log_softmax_is_log_softmax():
    scores = torch.randn(7, 4)
    torch.testing.assert_close(class_log_softmax(scores), torch.log_softmax(scores, dim=1))
