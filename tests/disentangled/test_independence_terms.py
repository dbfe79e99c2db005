"""Independence inside the module: weight 0 is none, and missing values take no part."""

import pytest
import torch

from domainvi.disentangled import DisentangledVAE, IndependenceTerms
from domainvi.disentangled._factors import FACTORS_KEY, Factor
from domainvi.disentangled._independence import Blocks, hide_factor
from domainvi.disentangled._metadata import complete_values, factor_codes
from domainvi.nn import one_hot

FACTORS = [
    Factor("tissue", "biological", ("a", "b", "c")),
    Factor("age", "biological", (), 40.0, 10.0, (-0.5, 0.0, 0.5)),
    Factor("platform", "technical", ("x", "y")),
]
SIZES = {"biological": 4, "technical": 3, "residual": 2}


def blocks(confounded=()):
    groups = tuple(f.group for f in FACTORS)
    return Blocks(SIZES, groups, tuple(f.n_levels for f in FACTORS), confounded)


def build(independence, confounded=(), seed=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DisentangledVAE(
            12, FACTORS, blocks(confounded), ("platform",), independence=independence
        )


def batch(n=40):
    generator = torch.Generator().manual_seed(1)
    values = torch.stack(
        [
            torch.randint(3, (n,), generator=generator).float(),
            torch.randn(n, generator=generator),
            torch.randint(2, (n,), generator=generator).float(),
        ],
        dim=1,
    )
    values[:5, 0], values[3:8, 2] = torch.nan, torch.nan
    return {"X": torch.randn(n, 12, generator=generator), FACTORS_KEY: values}


def gradients(module, weight):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module.zero_grad()
        _, _, output = module(batch(), loss_kwargs={"penalty_weight": weight})
        output.loss.backward()
    heads = {id(p) for p in module.independence.parameters()}
    return {n: p.grad.clone() for n, p in module.named_parameters() if id(p) not in heads}


@pytest.mark.parametrize("kind", ["adversarial", "covariance", "hsic"])
@pytest.mark.parametrize("confounded", [(), ((0, 2),)])
def test_weight_zero_is_none_to_the_bit(kind, confounded):
    none = gradients(build("none"), 1.0)
    zero = gradients(build(kind, confounded), 0.0)
    assert zero.keys() == none.keys()
    assert all(torch.equal(zero[name], none[name]) for name in none)
    some = gradients(build(kind, confounded), 1.0)
    assert (some["z_encoder.mean.weight"] - none["z_encoder.mean.weight"]).abs().max() > 1e-4
    assert torch.equal(some["intercept"], none["intercept"])


def test_missing_values_take_no_part():
    terms = IndependenceTerms("adversarial", blocks())
    z, code = torch.randn(20, 4), torch.arange(20) % 2
    half = code.clone()
    half[10:] = -1
    head = terms.heads["biological_2"]
    expected = hide_factor(head, z[:10], code[:10], None, 1.0)
    torch.testing.assert_close(hide_factor(head, z, half, None, 1.0), expected)


def planted(n=96):
    """Latents in which the platform moves the rows of a tissue by little, and each level's code."""
    row = torch.arange(n)
    tissue, age, platform = row % 3, row // 3 % 4, row // 12 % 2
    generator = torch.Generator().manual_seed(0)
    z = {name: torch.randn(n, size, generator=generator) for name, size in SIZES.items()}
    z["biological"] = 0.1 * z["biological"] + 50 * tissue[:, None] + platform[:, None]
    return z, [tissue, age, platform]


def test_a_kernel_looks_within_the_levels_of_the_first_own_factor():
    terms, (z, codes) = IndependenceTerms("hsic", blocks()), planted()
    _, found = terms(z, codes, codes, 1.0)
    _, over_all = terms(z, codes, [torch.zeros_like(code) for code in codes], 1.0)
    assert found["dependence"] > over_all["dependence"] + 0.1


def test_a_kernel_looks_within_the_cells_of_an_associated_and_the_first_own_factor():
    tied, (z, codes) = IndependenceTerms("hsic", blocks(((1, 2),))), planted()
    hidden = z["biological"] + 50 * codes[1][:, None]
    _, found = tied({**z, "biological": hidden}, codes, codes, 1.0)
    _, of_one = tied({**z, "biological": hidden}, codes, [0 * codes[0], *codes[1:]], 1.0)
    assert found["dependence"] > of_one["dependence"] + 0.1


def test_the_kernel_term_has_the_weight_as_its_slope_and_no_gradient_without_dependence():
    terms, (z, codes) = IndependenceTerms("hsic", blocks()), planted()
    values = [terms(z, codes, codes, weight)[0] for weight in (0.0, 1.0, 20.0)]
    assert values[0] == 0.0
    torch.testing.assert_close(values[2], 20 * values[1])
    # Within a tissue every age comes with every platform as often.
    crossed = torch.stack([50.0 * codes[0], codes[1], codes[0], codes[1]], dim=1).requires_grad_()
    rest = {name: torch.zeros(96, size) for name, size in SIZES.items()}
    loss, _ = terms({**rest, "biological": crossed}, codes, codes, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert crossed.grad.abs().max() < 1e-6


def test_a_factor_without_any_value_is_not_looked_for():
    terms, (z, codes) = IndependenceTerms("hsic", blocks()), planted()
    nothing = [torch.full_like(code, -1) for code in codes]
    z["biological"].requires_grad_()
    loss, _ = terms(z, nothing, codes, 1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z["biological"].grad).all()
    assert loss < terms(z, codes, codes, 1.0)[0]


def test_levels_that_are_missing_are_those_of_the_heads():
    values = torch.tensor([[torch.nan, torch.nan, 0.0], [2.0, -0.1, torch.nan]])
    scores = [
        torch.tensor([[0.0, 3.0, 1.0], [9.0, 0.0, 0.0]]),
        torch.tensor([[2.0], [-2.0]]),
        torch.tensor([[0.0, 1.0], [0.0, 1.0]]),
    ]
    codes = factor_codes(FACTORS, complete_values(FACTORS, values, scores))
    assert [c.tolist() for c in codes] == [[1, 2], [3, 1], [0, 1]]


def test_what_is_conditional_follows_from_what_is_confounded():
    tied = blocks(((0, 2),))
    assert tied.condition("biological", 2) == 0
    assert tied.condition("technical", 0) == 2
    assert tied.condition("technical", 1) is None
    assert tied.shared("technical", "biological") == 0
    assert blocks().shared("technical", "biological") is None


def test_metadata_are_known_values_and_the_heads_expectation_elsewhere():
    module = build("none").eval()
    values = batch()[FACTORS_KEY]
    scores = module.factor_scores(torch.randn(40, 9))
    metadata = module.metadata(values, scores)
    torch.testing.assert_close(metadata["biological"][0, :3], torch.softmax(scores[0][0], 0))
    assert metadata["biological"][9, :3].tolist() == one_hot(values[9:10, 0].long(), 3)[0].tolist()
    assert metadata["biological"][9, 3] == values[9, 1]
    assert metadata["technical"].shape == (40, 2)


def test_scores_are_the_sum_of_the_parts():
    module = build("none").eval()
    tensors = batch()
    inference, generative, _ = module(tensors)
    z = inference["z"]
    metadata = module.metadata(tensors[FACTORS_KEY], module.factor_scores(z))
    parts = module.contributions(z, metadata)
    assert list(parts) == list(SIZES)
    torch.testing.assert_close(generative["px"].mean, module.intercept + sum(parts.values()))


def test_levels_of_a_number_are_its_quarters():
    values = torch.tensor([[0.0, -2.0, 1.0], [torch.nan, 0.2, 0.0], [2.0, 9.0, torch.nan]])
    codes = [c.tolist() for c in factor_codes(FACTORS, values)]
    assert codes == [[0, -1, 2], [0, 2, 3], [1, 0, -1]]
