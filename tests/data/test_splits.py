"""The split keeps domains and classes intact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvi.data import stratified_split


def random_codes(n_obs: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.integers(0, 3, n_obs), rng.integers(-1, 4, n_obs)


def test_rows_are_used_once_and_sorted() -> None:
    train, validation = stratified_split(*random_codes(), 0.2, 0)
    np.testing.assert_array_equal(np.sort(np.r_[train, validation]), np.arange(500))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert train.dtype == validation.dtype == np.int64


def test_each_stratum_gives_its_share() -> None:
    domain, label = random_codes()
    _, validation = stratified_split(domain, label, 0.2)
    assert len(validation) == 100
    for d in range(3):
        for c in range(-1, 4):
            stratum = (domain == d) & (label == c)
            assert abs(stratum[validation].sum() - 0.2 * stratum.sum()) < 1


@pytest.mark.parametrize(("size", "n_held"), [(10, 1), (30, 3), (9, 1), (4, 0)])
def test_shares_are_rounded_to_the_nearest(size: int, n_held: int) -> None:
    assert len(stratified_split(np.zeros(size, int), np.zeros(size, int), 0.1)[1]) == n_held


def test_small_strata_stay_in_training() -> None:
    label = np.repeat([0, 1, 2], [40, 2, 1])
    for seed in range(20):
        train, validation = stratified_split(np.zeros(43, int), label, 0.4, seed)
        assert set(label[validation]) == {0}
        assert {0, 1, 2} == set(label[train])


def test_almost_all_can_be_held_out_but_one_row_a_stratum_stays() -> None:
    domain, label = random_codes()
    train, _ = stratified_split(domain, label, 0.99)
    assert len({*zip(domain[train], label[train], strict=True)}) == 15


def test_nothing_is_held_out_when_nothing_is_asked() -> None:
    train, validation = stratified_split(*random_codes(), 0.0)
    assert len(train) == 500
    assert len(validation) == 0


def test_the_seed_decides() -> None:
    codes = random_codes()

    def held(seed: int | np.random.Generator) -> list[int]:
        return stratified_split(*codes, 0.2, seed)[1].tolist()

    assert held(3) == held(3) == held(np.random.default_rng(3))
    assert held(3) != held(4)


def test_every_row_has_the_same_chance() -> None:
    codes = (np.zeros(20, int), np.repeat([0, 1], 10))
    rng = np.random.default_rng(0)
    times = np.zeros(20)
    for _ in range(500):
        times[stratified_split(*codes, 0.3, rng)[1]] += 1
    np.testing.assert_allclose(times / 500, 0.3, atol=0.08)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), min_size=1, max_size=60),
    validation_size=st.floats(0, 0.99),
    seed=st.integers(0, 9),
)
def test_every_stratum_is_trained_on(
    rows: list[tuple[int, int]], validation_size: float, seed: int
) -> None:
    domain, label = np.array(rows).T
    train, validation = stratified_split(domain, label, validation_size, seed)
    assert len(train) + len(validation) == len(rows)
    assert {*zip(domain, label, strict=True)} == {*zip(domain[train], label[train], strict=True)}
