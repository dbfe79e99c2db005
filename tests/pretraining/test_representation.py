"""Measures of collapse against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from domainvi.pretraining._objectives import alignment, effective_rank, uniformity


def test_effective_rank_by_hand() -> None:
    # Singular values in the ratio 3 : 1, so p = (3/4, 1/4).
    z = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(effective_rank(z)) == pytest.approx(math.exp(entropy), rel=1e-6)
    assert float(effective_rank(z + 100.0)) == pytest.approx(math.exp(entropy), rel=1e-4)


def test_effective_rank_of_a_line_and_of_a_point_is_one() -> None:
    line = torch.outer(torch.arange(5.0), torch.tensor([1.0, 2.0, -1.0]))
    assert float(effective_rank(line)) == pytest.approx(1.0, abs=1e-3)
    assert float(effective_rank(torch.ones(5, 3))) == pytest.approx(1.0)


def test_alignment_by_hand() -> None:
    a = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    b = torch.tensor([[1.0, 0.0], [0.0, -4.0]])
    assert float(alignment(a, b)) == pytest.approx((0 + 4) / 2)


def test_uniformity_by_hand() -> None:
    # Three pairs: a right angle twice (distance squared 2) and opposite ends (4).
    z = torch.tensor([[1.0, 0.0], [0.0, 5.0], [0.0, -1.0]])
    expected = math.log((2 * math.exp(-4) + math.exp(-8)) / 3)
    assert float(uniformity(z)) == pytest.approx(expected, rel=1e-5)


def test_uniformity_of_one_point_is_zero() -> None:
    assert float(uniformity(torch.ones(6, 3))) == pytest.approx(0.0, abs=1e-6)
