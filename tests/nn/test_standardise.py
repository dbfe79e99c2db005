"""Input scaling: logarithm of counts, statistics by domain, clipping, masked genes."""

import math

import pytest
import torch

from domainvi.nn import Standardiser, log_normalise


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def test_log_normalise_by_hand():
    x = torch.tensor([[1.0, 3.0], [0.0, 5.0]])
    expected = [[math.log1p(2500), math.log1p(7500)], [0.0, math.log1p(10_000)]]
    found = log_normalise(x, column(4.0, 5.0), 1e4)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_the_library_need_not_be_the_row_sum():
    found = log_normalise(torch.tensor([[1.0, 3.0]]), column(100.0), torch.tensor(200.0))
    torch.testing.assert_close(found, torch.tensor([[math.log1p(2), math.log1p(6)]]))


def test_depth_does_not_matter():
    x = torch.tensor([[1.0, 2.0, 7.0]])
    shallow, deep = log_normalise(x, column(10.0), 1e4), log_normalise(50 * x, column(500.0), 1e4)
    torch.testing.assert_close(shallow, deep)


def test_rows_without_counts_are_zero():
    assert not log_normalise(torch.zeros(2, 3), column(0.0, 0.0), 1e4).any()


@pytest.fixture
def standardiser() -> Standardiser:
    module = Standardiser(2, 3)
    module.set_statistics(
        torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 10.0]]),
        torch.tensor([[1.0, 2.0, 0.5], [1.0, 4.0, 1.0]]),
    )
    return module


def test_rows_are_standardised_by_their_own_domain(standardiser):
    x = torch.tensor([[2.0, 4.0, 3.5], [2.0, 4.0, 3.5]])
    found = standardiser(x, torch.tensor([0, 1]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 1.0, 1.0], [2.0, 1.0, -6.5]]))


def test_values_are_clipped_at_eight(standardiser):
    x = torch.tensor([[1e9, -1e9, 3.0]])
    torch.testing.assert_close(standardiser(x, torch.tensor([0])), torch.tensor([[8.0, -8.0, 0.0]]))


def test_an_infinite_scale_gives_zero(standardiser):
    statistics = (torch.zeros(1, 3), torch.tensor([[1.0, math.inf, 2.0]]))
    found = standardiser(torch.tensor([[1.0, 1e30, 4.0]]), torch.tensor([0]), statistics)
    assert found.tolist() == [[1.0, 0.0, 2.0]]


def test_other_statistics_replace_and_do_not_overwrite(standardiser):
    before = standardiser.loc.clone()
    x, domain = torch.tensor([[2.0, 4.0, 3.5]]), torch.tensor([2])
    statistics = (torch.ones(3, 3), torch.ones(3, 3))
    torch.testing.assert_close(standardiser(x, domain, statistics), x - 1)
    assert torch.equal(standardiser.loc, before)


def test_statistics_are_saved_and_not_trained(standardiser):
    assert set(standardiser.state_dict()) == {"loc", "scale", "is_shared"}
    assert not list(standardiser.parameters())


def test_the_gradient_is_one_over_the_scale(standardiser):
    x = torch.tensor([[1.5, 3.0, 100.0]], requires_grad=True)
    standardiser(x, torch.tensor([0])).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[1.0, 0.5, 0.0]]))
