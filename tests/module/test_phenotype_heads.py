"""Heads of auxiliary phenotypes: loss and combination against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from scvi import REGISTRY_KEYS

from domainvi.data import Phenotype
from domainvi.errors import InputError
from domainvi.module import PhenotypeHeads, PhenotypeScores

NAN = float("nan")


@pytest.fixture
def heads() -> PhenotypeHeads:
    """Two classes and a number, on two latents, two domains and three genes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = PhenotypeHeads([Phenotype("sex", ("f", "m")), Phenotype("age")], 2, 2, 3)
    with torch.no_grad():
        made.heads.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        made.heads.bias.zero_()
    made.location[1], made.scale[1] = 50.0, 10.0
    return made


def batch(sex: list[int], age: list[float]) -> dict[str, torch.Tensor]:
    return {
        REGISTRY_KEYS.BATCH_KEY: torch.zeros(len(sex), 1),
        "phenotype_sex": torch.tensor(sex)[:, None],
        "phenotype_age": torch.tensor(age)[:, None],
    }


def test_loss_of_known_values(heads: PhenotypeHeads) -> None:
    z = torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]])
    with torch.no_grad():
        loss, terms = heads.loss(z, batch([0, 1, 2], [60.0, NAN, 90.0]))
    entropy = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-2))) / 2 / math.log(2)
    square = ((1 - 1) ** 2 + (10 - 4) ** 2) / 2
    assert float(terms["phenotype_sex_loss"]) == pytest.approx(entropy, abs=1e-6)
    assert float(terms["phenotype_age_loss"]) == pytest.approx(square, abs=1e-5)
    assert float(loss) == pytest.approx((entropy + square) / 2, abs=1e-5)


def test_a_head_that_knows_nothing_has_loss_one(heads: PhenotypeHeads) -> None:
    heads.class_weight[:2] = torch.tensor([2.0, 2 / 3])
    with torch.no_grad():
        loss, terms = heads.loss(torch.zeros(4, 2), batch([0, 1, 1, 1], [40.0, 60.0, 40.0, 60.0]))
    assert float(terms["phenotype_sex_loss"]) == pytest.approx(1)
    assert float(terms["phenotype_age_loss"]) == pytest.approx(1)
    assert float(loss) == pytest.approx(1)


def test_batch_without_values(heads: PhenotypeHeads) -> None:
    loss, terms = heads.loss(torch.ones(2, 2), batch([2, 2], [NAN, NAN]))
    assert float(loss) == 0
    assert set(terms) == {"phenotype_loss"}
    loss, _ = heads.loss(torch.ones(2, 2, requires_grad=True), batch([0, 2], [NAN, NAN]))
    loss.backward()
    assert torch.isfinite(heads.heads.weight.grad).all()


def test_probabilities_average_and_shift_by_domain(heads: PhenotypeHeads) -> None:
    heads.share[0] = 0.25
    heads.temperature[0] = torch.tensor([2.0, 1.0])
    heads.offset[1, :2] = torch.log(torch.tensor([0.5, 1.5]))
    scores = PhenotypeScores(torch.tensor([[0.0, 2.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    network, linear = 1 / (1 + math.exp(-1)), 1 / (1 + math.e)
    m = 0.25 * network + 0.75 * linear
    for domain, expected in ((0, m), (7, m), (1, 1.5 * m / (1.5 * m + 0.5 * (1 - m)))):
        p = heads.log_probabilities(0, scores, torch.tensor([domain])).exp()
        assert p[0].tolist() == pytest.approx([1 - expected, expected], abs=1e-6)
    raw = heads.log_probabilities(0, scores, torch.tensor([0]), calibrated=False).exp()
    hot = 0.25 / (1 + math.exp(-2)) + 0.75 * linear
    assert float(raw[0, 1]) == pytest.approx(hot, abs=1e-6)


def test_values_are_the_mixture_of_two_normals(heads: PhenotypeHeads) -> None:
    heads.share[1] = 0.25
    heads.spread[1] = torch.tensor([0.6, 0.4])
    heads.widening[1] = 2.0
    heads.offset[1, 2], heads.is_known[1, 1] = 0.5, True
    scores = PhenotypeScores(torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    sd = math.sqrt(0.75 * 0.16 + 0.25 * 0.36 + 0.75 * 0.25)
    for domain, value, error in ((1, 67.5, 10 * sd), (0, 62.5, 20 * sd), (9, 62.5, 20 * sd)):
        v, e = heads.values(1, scores, torch.tensor([domain]))
        assert float(v) == pytest.approx(value, abs=1e-4)
        assert float(e) == pytest.approx(error, abs=1e-4)


def test_forgotten_domains_count_as_unknown(heads: PhenotypeHeads) -> None:
    heads.offset.fill_(1.0)
    heads.is_known.fill_(True)
    heads.forget(slice(1, None))
    assert heads.offset[:, 0].tolist() == [1.0, 0.0]
    assert heads.is_known[:, 1].tolist() == [True, False]


def test_unknown_name(heads: PhenotypeHeads) -> None:
    assert heads.index("age") == 1
    with pytest.raises(InputError, match="'bmi' is not a target of this model; it has sex, age"):
        heads.index("bmi")
