"""Values of the factors of a batch of rows: as metadata, as levels, and in the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from domainvi.nn import balanced_domain_loss, one_hot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domainvi.data import Factor


def direct_columns(factors: Sequence[Factor], group: str, direct: Sequence[str]) -> tuple[int, ...]:
    """Columns of a group's metadata whose level owns a unit."""
    out: list[int] = []
    start = 0
    for factor in factors:
        if factor.group != group:
            continue
        if factor.name in direct:
            out += range(start, start + factor.width)
        start += factor.width
    return tuple(out)


def expected_metadata(
    factors: Sequence[Factor], values: torch.Tensor, scores: Sequence[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Metadata of each group: what is known, and the heads' expectation of what is not.

    Parameters
    ----------
    factors
        The factors, group by group.
    values
        Codes and numbers of the factors, NaN where missing, ``(n_rows, n_factors)``.
    scores
        Logits of the levels of each factor, or its number; constants here.
    """
    out: dict[str, list[torch.Tensor]] = {f.group: [] for f in factors}
    for k, factor in enumerate(factors):
        known = torch.isfinite(values[:, k])
        value = torch.where(known, values[:, k], 0.0)
        score = scores[k].detach()
        if factor.is_numeric:
            part = torch.where(known[:, None], value[:, None], score)
        else:
            level = one_hot(value.long(), factor.width)
            part = torch.where(known[:, None], level, functional.softmax(score, dim=1))
        out[factor.group].append(part)
    return {group: torch.cat(parts, dim=1) for group, parts in out.items()}


def factor_codes(factors: Sequence[Factor], values: torch.Tensor) -> list[torch.Tensor]:
    """Level of each factor, quarter of a number, -1 where missing."""
    out = []
    for k, factor in enumerate(factors):
        known = torch.isfinite(values[:, k])
        value = torch.where(known, values[:, k], 0.0)
        if factor.is_numeric:
            value = torch.bucketize(value, value.new_tensor(factor.cuts), right=True)
        out.append(torch.where(known, value.long(), -1))
    return out


def factor_losses(
    factors: Sequence[Factor], scores: Sequence[torch.Tensor], values: torch.Tensor
) -> list[torch.Tensor]:
    """Loss of each factor over the rows whose value is known; 0 when there are none."""
    out = []
    for k, factor in enumerate(factors):
        known = torch.isfinite(values[:, k])
        value = values[known, k]
        if not known.any():
            out.append(scores[k].new_zeros(()))
        elif factor.is_numeric:
            out.append(0.5 * functional.mse_loss(scores[k][known, 0], value))
        else:
            out.append(balanced_domain_loss(scores[k][known], value.long()))
    return out
