"""Attributions of rows, added up by class or group as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import torch

from ._methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ._explain import Head
    from ._methods import Settings

# Genes of a column, those with the largest attribution, of which is said whether they are low.
N_LEADING = 50


class Contrast(NamedTuple):
    """One number a row to explain: the score of one column less that of another."""

    # Positions in the batch.
    rows: torch.Tensor
    # Columns of the head; one beyond the last stands for 0.
    first: torch.Tensor
    second: torch.Tensor
    # Where the attributions are added.
    column: torch.Tensor


@torch.no_grad()
def contrasts(
    head: Head,
    u: torch.Tensor,
    domain: torch.Tensor,
    asked: torch.Tensor,
    group: torch.Tensor | None,
) -> Iterator[Contrast]:
    """Contrast the class that each row is called with the runner-up; or each value with 0.

    ``asked`` marks the columns of the head that are explained. ``group`` has codes of the rows, -1
    for none; ``None`` adds up by class.
    """
    if head.is_classes:
        first, second = head.score(u, domain).topk(2, dim=1).indices.T
        column = first if group is None else group
        rows = torch.nonzero(asked[first] & (column >= 0)).squeeze(1)
        yield Contrast(rows, first[rows], second[rows], column[rows])
        return
    for j in torch.nonzero(asked).squeeze(1):
        first = j.expand(len(u))
        column = first if group is None else group
        rows = torch.nonzero(column >= 0).squeeze(1)
        zero = torch.full_like(first, len(asked))
        yield Contrast(rows, first[rows], zero[rows], column[rows])


def score_contrast(head: Head) -> Callable[..., torch.Tensor]:
    """Return the function of rows that is explained: the difference of two scores."""

    def score(
        u: torch.Tensor, domain: torch.Tensor, first: torch.Tensor, second: torch.Tensor
    ) -> torch.Tensor:
        scores = head.score(u, domain)
        scores = torch.cat([scores, torch.zeros_like(scores[:, :1])], dim=1)
        pair = scores.gather(1, torch.stack([first, second], dim=1))
        return pair[:, 0] - pair[:, 1]

    return score


class AttributionSums:
    """Sums of attributions, so that memory does not grow with rows.

    ``tied`` marks the genes whose share of the attribution is wanted.
    """

    def __init__(self, head: Head, n_columns: int, tied: NDArray, settings: Settings) -> None:
        self.head, self.method, self.n_steps = head, settings.method, settings.n_steps
        self.tied = torch.from_numpy(tied)
        self.total, self.change = torch.zeros(2, n_columns, len(tied), dtype=torch.float64)
        self.score, self.count, self.size, self.tied_size = torch.zeros(
            4, n_columns, dtype=torch.float64
        )
        self.incompleteness = 0.0

    def add(
        self,
        u: torch.Tensor,
        domain: torch.Tensor,
        contrast: Contrast,
        references: Sequence[torch.Tensor],
    ) -> None:
        """Explain rows of a batch; ``references`` has one row or more for each domain."""
        for d in domain[contrast.rows].unique():
            chosen = torch.nonzero(domain[contrast.rows] == d).squeeze(1)
            rows = contrast.rows[chosen]
            arguments = (domain[rows], contrast.first[chosen], contrast.second[chosen])
            reference = references[int(d)].to(u.device)
            change = (u[rows] - reference.mean(dim=0)).cpu().double()
            values = self.attribute(u[rows], arguments, reference)
            self.add_up(values, change, contrast.column[chosen].cpu())

    def attribute(
        self, u: torch.Tensor, arguments: tuple[torch.Tensor, ...], reference: torch.Tensor
    ) -> torch.Tensor:
        """Attribute contrasts of rows to genes, and note how much is missing from their sums."""
        f = score_contrast(self.head)
        at_random = self.method == "gradient_shap"
        baseline = reference if at_random else reference.expand_as(u)
        values = METHODS[self.method](f, u.requires_grad_(), baseline, arguments, self.n_steps)
        values = values.detach().cpu().double()
        if not at_random:
            with torch.no_grad():
                moved = (f(u, *arguments) - f(baseline, *arguments)).cpu().double()
            missing = (moved - values.sum(dim=1)).abs().max()
            self.incompleteness = max(self.incompleteness, float(missing))
        return values

    def add_up(self, values: torch.Tensor, change: torch.Tensor, at: torch.Tensor) -> None:
        """Add attributions of rows, and their distance from what they are compared with."""
        score = values.sum(dim=1)
        if not self.head.is_classes:
            sign = score.sign()[:, None]
            values, change, score = values * sign, change * sign, score.abs()
        self.total.index_add_(0, at, values)
        self.change.index_add_(0, at, change)
        self.score.index_add_(0, at, score)
        self.count.index_add_(0, at, torch.ones_like(score))
        size = values.abs()
        self.size.index_add_(0, at, size.sum(dim=1))
        self.tied_size.index_add_(0, at, size[:, self.tied].sum(dim=1))

    def frame(
        self, genes: Sequence[str], columns: Sequence[str], shown: Sequence[str]
    ) -> pd.DataFrame:
        """Mean attributions, genes x columns to be shown, and numbers of each in ``attrs``."""
        mean = (self.total / self.count[:, None]).numpy().T
        frame = pd.DataFrame(mean, index=pd.Index(genes), columns=pd.Index(columns))[shown]
        numbers = {
            "n_rows": self.count.int(),
            "score": self.score / self.count,
            "tied_share": self.tied_size / self.size,
        }
        for name, values in numbers.items():
            of_column = dict(zip(columns, values.tolist(), strict=True))
            frame.attrs[name] = {c: of_column[c] for c in shown}
        low = pd.DataFrame((self.change < 0).numpy().T, frame.index, columns)
        leading = {c: frame[c].dropna().nlargest(N_LEADING).index for c in shown}
        frame.attrs["low"] = {c: genes[low.loc[genes, c]].tolist() for c, genes in leading.items()}
        if self.method != "gradient_shap":
            frame.attrs["incompleteness"] = self.incompleteness
        return frame
