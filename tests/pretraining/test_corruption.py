"""Corruption of rows: which values move, where from, and what that does to the library."""

from __future__ import annotations

import pytest
import torch

from domainvi.pretraining._plan import draw_mask, swap_counts, swap_values, uniform_values


def test_mask_has_the_rate() -> None:
    mask = draw_mask(torch.zeros(200, 100), 0.3)
    assert mask.float().mean() == pytest.approx(0.3, abs=0.02)
    assert len(mask.sum(dim=1).unique()) > 5


def test_exact_mask_has_the_same_number_in_every_row() -> None:
    mask = draw_mask(torch.zeros(50, 9), 0.5, exact=True)
    assert mask.sum(dim=1).unique().tolist() == [4]
    assert mask.any(dim=0).all()


def test_replacements_come_from_the_same_gene_and_differ_each_time() -> None:
    x = torch.arange(40.0).view(8, 5)
    mask = torch.ones(8, 5, dtype=torch.bool)
    first, second = swap_values(x, mask), swap_values(x, mask)
    assert torch.equal(first % 5, x % 5)
    assert not torch.equal(first, second)


def test_unmasked_values_stay_and_the_input_is_not_written() -> None:
    x = torch.rand(30, 6)
    before, mask = x.clone(), draw_mask(x, 0.5)
    out = swap_values(x, mask)
    assert torch.equal(x, before)
    assert torch.equal(out[~mask], x[~mask])


def test_draws_have_the_marginal_of_the_gene() -> None:
    x = torch.zeros(1000, 1)
    x[:200] = 1.0
    out = swap_values(x, torch.ones_like(x, dtype=torch.bool))
    assert out.mean() == pytest.approx(0.2, abs=0.05)


def test_donors_are_of_the_same_group() -> None:
    group = torch.tensor([1, 0, 1, 0, 2])
    x = group[:, None].float() * 10 + torch.zeros(5, 50)
    out = swap_values(x, torch.ones(5, 50, dtype=torch.bool), group)
    assert torch.equal(out, x)
    assert not torch.equal(swap_values(x, torch.ones(5, 50, dtype=torch.bool)), x)


def test_swapped_counts_follow_the_depth_of_the_row_and_the_library_follows_them() -> None:
    x = torch.tensor([[4.0, 6.0], [40.0, 60.0]])
    library = x.sum(dim=1, keepdim=True)
    mask = torch.tensor([[True, False], [True, False]])
    out, size = swap_counts(x, library, mask)
    # Both rows have the same shares: any donor's count, at the depth of the row, is the row's own.
    assert torch.equal(out, x)
    assert torch.equal(size, library)


def test_library_is_that_of_the_corrupted_counts() -> None:
    x = torch.tensor([[8.0, 2.0], [2.0, 8.0]])
    library = torch.tensor([[20.0], [20.0]])  # size factors in another unit
    out, size = swap_counts(x, library, torch.ones(2, 2, dtype=torch.bool))
    torch.testing.assert_close(size.squeeze(), 2 * out.sum(dim=1))
    assert {int(v) for v in out.flatten()} <= {2, 8}


def test_swapped_counts_are_whole_and_unbiased() -> None:
    x = torch.tensor([[1.0, 9.0]] * 2000 + [[1.0, 24.0]] * 2000)
    library = x.sum(dim=1, keepdim=True)
    mask = torch.tensor([[True, False]]).expand(4000, 2)
    out, _ = swap_counts(x, library, mask)
    assert torch.equal(out, out.floor())
    # In rows of depth 10 the shares 0.1 and 0.04 are equally likely: 10 * 0.07.
    assert out[:2000, 0].mean() == pytest.approx(0.7, abs=0.05)


def test_empty_rows_do_not_break_it() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    out, size = swap_counts(x, x.sum(1, keepdim=True), torch.ones(2, 2, dtype=torch.bool))
    assert torch.isfinite(size).all()
    assert torch.isfinite(out).all()


def test_uniform_values_fill_the_range() -> None:
    x = torch.full((500, 2), 9.0)
    mask = torch.tensor([[True, False]]).expand(500, 2)
    out = uniform_values(x, mask, torch.tensor([-1.0, 0.0]), torch.tensor([3.0, 1.0]))
    assert out[:, 0].min() >= -1
    assert out[:, 0].max() <= 3
    assert out[:, 0].mean() == pytest.approx(1.0, abs=0.2)
    assert (out[:, 1] == 9.0).all()
