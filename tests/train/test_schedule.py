"""Schedules of weights and learning rate."""

import math

import pytest

from domainvi.train import cosine, ramp


def test_the_ramp_waits_rises_and_ends_at_one():
    values = [ramp(p / 100) for p in range(101)]
    assert values[:21] == [0.0] * 21
    assert all(a < b for a, b in zip(values[20:], values[21:], strict=False))
    assert values[-1] == pytest.approx(1, abs=1e-3)


def test_the_ramp_by_hand():
    # Halfway between start 0.2 and 1: p = 1/2.
    assert ramp(0.6) == pytest.approx(2 / (1 + math.exp(-5)) - 1, rel=1e-12)
    assert ramp(0.4) == pytest.approx(2 / (1 + math.exp(-2.5)) - 1, rel=1e-12)


def test_the_ramp_is_continuous_where_it_starts():
    assert ramp(0.2 + 1e-9) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0, 1), (1 / 3, 0.75), (0.5, 0.5), (2 / 3, 0.25), (1, 0), (1.7, 0)]
)
def test_the_cosine_by_hand(progress, expected):
    assert cosine(progress) == pytest.approx(expected, abs=1e-12)
