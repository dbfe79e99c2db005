"""The referee: a fresh probe finds what is there, on rows that it did not see."""

import pytest
import torch

from domainvi.nn import within_class_probe

N = 800


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(N, 6, generator=generator)
    index = torch.arange(N)
    return z, index % 2, index // 2 % 2, index // 4 % 2 == 0


def probe(z, domain, code, held_out, n_domains=2):
    found = within_class_probe(z, domain, code, held_out, n_domains)
    assert found is not None
    return found


def test_without_a_difference_it_is_at_chance(rows):
    accuracy, chance = probe(*rows)
    assert chance == 0.5
    assert accuracy == pytest.approx(0.5, abs=0.07)


def test_a_shift_is_found_in_a_direction_of_little_variance(rows):
    z, domain, *others = rows
    moved = z.clone()
    # The difference of two columns has a deviation of 0.1, and the shift is twice that.
    moved[:, 1] = moved[:, 0] + 0.1 * z[:, 1] + 0.2 * domain
    assert probe(moved, domain, *others)[0] > 0.75


def test_a_difference_in_spread_is_found(rows):
    z, domain, *others = rows
    assert probe(z * (1 + 2 * domain)[:, None], domain, *others)[0] > 0.85


def test_the_class_mix_is_not_what_is_looked_for(rows):
    z, domain, _, held_out = rows
    code = (torch.arange(N) // 8 % 10 < torch.where(domain == 0, 9, 1)).long()
    moved = z + 20 * code[:, None]
    assert probe(moved, domain, code, held_out)[0] == pytest.approx(0.5, abs=0.1)


def test_only_domains_with_rows_of_a_class_are_asked_for(rows):
    z, domain, code, held_out = rows
    third = torch.where(torch.arange(N) < 20, 2, domain)
    third[:2] = 2
    accuracy, chance = probe(z, third, code, held_out, n_domains=5)
    assert chance == pytest.approx(1 / 3)
    assert 0.15 < accuracy < 0.55


def test_rows_that_were_seen_do_not_count(rows):
    z, domain, code, held_out = rows
    shuffled = domain.clone()
    shuffled[held_out] = domain[held_out].flip(0)
    moved = z + 9 * domain[:, None]
    assert probe(moved, shuffled, code, held_out)[0] < 0.05 or (shuffled == domain).all()


@pytest.mark.parametrize("what", ["domain", "class"])
def test_with_nothing_to_compare_there_is_no_answer(rows, what):
    z, domain, code, held_out = rows
    if what == "domain":
        domain = torch.zeros_like(domain)
    else:
        code = domain
    assert within_class_probe(z, domain, code, held_out, 2) is None


def test_torch_is_left_as_it_was(rows):
    before = torch.random.get_rng_state()
    first, second = probe(*rows), probe(*rows)
    assert first == second
    assert torch.equal(before, torch.random.get_rng_state())
