"""The split keeps domains, classes and groups intact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvi.data import stratified_split
from domainvi.errors import InputError


def random_codes(n_obs: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.integers(0, 3, n_obs), rng.integers(-1, 4, n_obs)


@pytest.mark.parametrize("groups", [None, np.arange(500) // 2])
def test_rows_are_used_once_and_sorted(groups: np.ndarray | None) -> None:
    train, validation = stratified_split(*random_codes(), 0.2, 0, groups)
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
    assert len(stratified_split([0] * size, [0] * size, 0.1)[1]) == n_held


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


@pytest.mark.parametrize("groups", [None, np.arange(500) // 2])
def test_the_seed_decides(groups: np.ndarray | None) -> None:
    codes = random_codes()

    def held(seed: int | np.random.Generator) -> list[int]:
        return stratified_split(*codes, 0.2, seed, groups)[1].tolist()

    assert held(3) == held(3) == held(np.random.default_rng(3))
    assert held(3) != held(4)


def test_every_row_has_the_same_chance() -> None:
    codes = (np.zeros(20, int), np.repeat([0, 1], 10))
    rng = np.random.default_rng(0)
    times = np.zeros(20)
    for _ in range(500):
        times[stratified_split(*codes, 0.3, rng)[1]] += 1
    np.testing.assert_allclose(times / 500, 0.3, atol=0.08)


def test_groups_never_straddle_and_shares_hold() -> None:
    rng = np.random.default_rng(2)
    domain, label = random_codes()
    groups = rng.integers(0, 200, 500).astype(str)
    for seed in range(5):
        train, validation = stratified_split(domain, label, 0.2, seed, groups)
        assert not set(groups[train]) & set(groups[validation])
        assert 70 <= len(validation) <= 130


def test_tumour_and_normal_of_a_patient_stay_together_and_balanced() -> None:
    patient = np.repeat(np.arange(50), 2)
    tissue = np.tile([0, 1], 50)
    _, validation = stratified_split(np.zeros(100, int), tissue, 0.1, 0, patient)
    assert len(validation) == 10
    assert tissue[validation].sum() == 5
    assert (np.bincount(patient[validation])[patient[validation]] == 2).all()


def test_one_group_is_held_out_where_all_are_larger_than_the_share() -> None:
    donor = np.repeat(np.arange(5), 40)
    label = np.tile([0, 1, 2, 3], 50)
    _, validation = stratified_split(np.zeros(200, int), label, 0.1, 0, donor)
    assert len(validation) == 40
    assert len(set(donor[validation])) == 1


def test_a_class_of_one_patient_stays_in_training() -> None:
    donor = np.repeat(np.arange(20), 10)
    label = np.where(donor == 7, 1, 0)
    for seed in range(10):
        train, _ = stratified_split(np.zeros(200, int), label, 0.3, seed, donor)
        assert (label[train] == 1).sum() == 10


def test_missing_groups_are_rows_of_their_own() -> None:
    groups = np.array([None, "a", np.nan, "a"] * 10, dtype=object)
    _, validation = stratified_split(np.zeros(40, int), np.zeros(40, int), 0.25, 0, groups)
    assert len(validation) == 10
    assert "a" not in groups[validation]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(-1, 2), st.integers(0, 9)), min_size=1, max_size=60
    ),
    validation_size=st.floats(0, 0.99),
    seed=st.integers(0, 9),
    grouped=st.booleans(),
)
def test_every_stratum_is_trained_on(
    rows: list[tuple[int, int, int]], validation_size: float, seed: int, grouped: bool
) -> None:
    domain, label, group = np.array(rows).T
    train, validation = stratified_split(
        domain, label, validation_size, seed, group if grouped else None
    )
    assert len(train) + len(validation) == len(rows)
    assert {*zip(domain, label, strict=True)} == {*zip(domain[train], label[train], strict=True)}
    if grouped:
        assert not set(group[train]) & set(group[validation])


@pytest.mark.parametrize("validation_size", [-0.1, 1.0, np.nan])
def test_a_size_that_is_not_a_share_is_refused(validation_size: float) -> None:
    with pytest.raises(InputError, match="validation_size"):
        stratified_split([0, 1], [0, 1], validation_size)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match=r"domain has shape \(2,\) and label \(3,\)"):
        stratified_split([0, 1], [0, 1, 1])
    with pytest.raises(InputError, match="at least one row"):
        stratified_split([], [])
    with pytest.raises(InputError, match="groups has 1 values for 2 rows"):
        stratified_split([0, 1], [0, 1], groups=["a"])
