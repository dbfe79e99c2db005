"""Probes: what they find, what chance is, and how held-out domains and strata enter."""

import numpy as np
import pytest

from domainvi.errors import InputError
from domainvi.metrics import factor_probe, joint_probe


def test_a_factor_that_is_there_is_found_and_one_that_is_not_is_not(rng):
    code = rng.integers(3, size=300)
    z = rng.normal(size=(300, 4))
    absent = factor_probe(z, code, n_permutations=9)
    z[:, 0] += 4 * code
    present = factor_probe(z, code, n_permutations=9)
    assert present.score > 0.9
    assert present.p_value == 0.1
    assert present.low < present.score < present.high
    assert abs(absent.score - 1 / 3) < 0.08
    assert absent.p_value > 0.1
    assert absent.chance == pytest.approx(1 / 3, abs=0.05)


def test_numbers_are_scored_by_r2(rng):
    z = rng.normal(size=(200, 3))
    y = z[:, 0] + 0.1 * rng.normal(size=200)
    y[:20] = np.nan
    found = factor_probe(z, y, numeric=True, n_permutations=4)
    assert found.score > 0.95
    assert found.chance < 0.05
    assert found.n_rows == 180


def test_boosting_finds_what_a_line_cannot(rng):
    code = rng.integers(2, size=400)
    z = rng.normal(size=(400, 2))
    z[:, 0] = np.where(code == 1, 3.0, 1.0) * rng.choice([-1, 1], size=400)
    found = factor_probe(z, code, n_permutations=0)
    assert found.score < 0.6
    assert np.isnan([found.chance, found.p_value]).all()
    assert factor_probe(z, code, probe="boosting", n_permutations=0).score > 0.95


def test_chance_within_strata_is_what_the_strata_give_away(rng):
    stratum = rng.integers(2, size=600)
    code = np.where(rng.random(600) < 0.85, stratum, 1 - stratum)
    z = rng.normal(size=(600, 2)) + 5 * stratum[:, None]
    plain = factor_probe(z, code, n_permutations=9)
    inside = factor_probe(z, code, strata=stratum, n_permutations=9)
    assert plain.p_value == 0.1
    assert inside.chance == pytest.approx(0.85, abs=0.04)
    assert inside.p_value > 0.1


def test_a_domain_that_was_held_out_is_predicted_by_the_others(rng):
    domain, code = rng.integers(2, size=400), rng.integers(2, size=400)
    # What tells the class in one domain tells the opposite in the other.
    z = np.where(domain == code, 3.0, -3.0)[:, None] + rng.normal(size=(400, 1))
    assert factor_probe(z, code, held_out=domain, n_permutations=0).score < 0.2


def test_joint_probe_finds_dependence_and_not_margins(rng):
    a, b = rng.normal(size=(200, 2)) + 3, rng.normal(size=(200, 2))
    apart = joint_probe([a, b], n_permutations=0)
    tied = joint_probe([a, a + 0.3 * b], n_permutations=1)
    assert abs(apart.score - 0.5) < 0.08
    assert tied.score > 0.8
    assert tied.p_value == 0.5
    stratum = rng.integers(2, size=200)
    shared = [a + 6 * stratum[:, None], b + 6 * stratum[:, None]]
    found = joint_probe(shared, n_permutations=0)
    assert found.score > 0.65
    assert np.isnan([found.chance, found.p_value]).all()
    assert abs(joint_probe(shared, stratum, n_permutations=0).score - 0.5) < 0.1


def test_refused(rng):
    z = rng.normal(size=(20, 2))
    with pytest.raises(InputError, match="or two numbers in as many rows"):
        factor_probe(np.zeros((4, 2)), np.arange(4.0), numeric=True)
    with pytest.raises(InputError, match="two levels"):
        factor_probe(z, np.zeros(20, dtype=int))
    with pytest.raises(InputError, match="shape"):
        factor_probe(z, np.zeros(3, dtype=int))
    with pytest.raises(InputError, match="probe"):
        factor_probe(z, np.arange(20) % 2, probe="forest")
