"""The optimiser of models with subspaces."""

import pytest

import domainvi as dv
from domainvi.disentangled import DisentangledTrainingPlan


@pytest.fixture(scope="module")
def module():
    adata = dv.data.synthetic_factors(40, 20, seed=0)
    dv.DisentangledVI.setup_anndata(adata, factor_groups=adata.uns["factor_groups"])
    return dv.DisentangledVI(adata, independence="adversarial").module


@pytest.mark.parametrize(
    ("weight", "beta", "rate"), [(None, 0.0, 3.0), (0.0, 0.9, 1.0)], ids=["on", "off"]
)
def test_no_momentum_against_adversaries_that_have_a_weight(module, weight, beta, rate):
    plan = DisentangledTrainingPlan(module, n_steps=10, lr=1e-3, independence_weight=weight)
    groups = plan.configure_optimizers()["optimizer"].param_groups
    heads = {id(p) for p in module.independence.parameters()}
    assert heads
    seen = 0
    for group in groups:
        assert group["betas"][0] == beta
        for parameter in group["params"]:
            factor = rate if id(parameter) in heads else 1.0
            assert group["initial_lr"] == pytest.approx(1e-3 * factor)
            seen += 1
    assert seen == len(list(module.parameters()))
