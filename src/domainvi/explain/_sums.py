"""Attributions of rows, added up by class or group as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import torch

from ._attributors import attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ._attributors import Method
    from ._readout import Readout


@dataclass(frozen=True)
class Question:
    """One number a row to explain: the score of one column less that of another.

    Parameters
    ----------
    rows
        Positions in the batch, shape ``(n_asked,)``.
    first, second
        Columns of the readout, shape ``(n_asked,)``; one beyond the last stands for 0.
    column
        Where the attributions are added, shape ``(n_asked,)``.
    """

    rows: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    column: torch.Tensor


@torch.no_grad()
def questions(
    readout: Readout,
    u: torch.Tensor,
    domain: torch.Tensor,
    asked: torch.Tensor,
    group: torch.Tensor | None,
) -> Iterator[Question]:
    """Ask of each row why it is called its class and not the runner-up; or for each value.

    Parameters
    ----------
    readout
        The head.
    u, domain
        Log values and domain codes.
    asked
        Which columns of the readout are explained, shape ``(n_columns,)``.
    group
        Group codes of the rows, -1 for none; ``None`` adds up by class.
    """
    if readout.is_classes:
        first, second = readout.score(u, domain).topk(2, dim=1).indices.T
        column = first if group is None else group
        rows = torch.nonzero(asked[first] & (column >= 0)).squeeze(1)
        yield Question(rows, first[rows], second[rows], column[rows])
        return
    for j in torch.nonzero(asked).squeeze(1):
        first = j.expand(len(u))
        column = first if group is None else group
        rows = torch.nonzero(column >= 0).squeeze(1)
        zero = torch.full_like(first, len(asked))
        yield Question(rows, first[rows], zero[rows], column[rows])


def contrast(readout: Readout) -> Callable[..., torch.Tensor]:
    """Return the function of rows that a question asks about."""

    def score(
        u: torch.Tensor, domain: torch.Tensor, first: torch.Tensor, second: torch.Tensor
    ) -> torch.Tensor:
        scores = readout.score(u, domain)
        scores = torch.cat([scores, torch.zeros_like(scores[:, :1])], dim=1)
        pair = scores.gather(1, torch.stack([first, second], dim=1))
        return pair[:, 0] - pair[:, 1]

    return score


class Contributions:
    """Sums of attributions, so that memory does not grow with rows.

    Parameters
    ----------
    readout
        The head.
    n_columns
        Columns of the result.
    tied
        Genes on which the share of the attribution is wanted, shape ``(n_genes,)``.
    method, n_steps
        As for :func:`attribute`.
    """

    def __init__(
        self, readout: Readout, n_columns: int, tied: NDArray, method: Method, n_steps: int
    ) -> None:
        self.readout, self.method, self.n_steps = readout, method, n_steps
        self.tied = torch.from_numpy(tied)
        self.total = torch.zeros(n_columns, len(tied), dtype=torch.float64)
        self.score, self.count, self.size, self.tied_size = torch.zeros(
            4, n_columns, dtype=torch.float64
        )
        self.incompleteness = 0.0

    def add(
        self,
        u: torch.Tensor,
        domain: torch.Tensor,
        question: Question,
        references: Sequence[torch.Tensor],
    ) -> None:
        """Explain rows of one batch.

        Parameters
        ----------
        u, domain
            Log values and domain codes of the batch.
        question
            What to explain.
        references
            For each domain the values that its rows are compared with, one row or more.
        """
        for d in domain[question.rows].unique():
            chosen = torch.nonzero(domain[question.rows] == d).squeeze(1)
            rows = question.rows[chosen]
            arguments = (domain[rows], question.first[chosen], question.second[chosen])
            self._add(u[rows], arguments, question.column[chosen], references[int(d)].to(u.device))

    def _add(
        self,
        u: torch.Tensor,
        arguments: tuple[torch.Tensor, ...],
        column: torch.Tensor,
        reference: torch.Tensor,
    ) -> None:
        f = contrast(self.readout)
        at_random = self.method == "gradient_shap"
        baseline = reference if at_random else reference.expand_as(u)
        values = attribute(self.method, f, u, baseline, arguments, self.n_steps).cpu().double()
        score = values.sum(dim=1)
        if not at_random:
            with torch.no_grad():
                moved = (f(u, *arguments) - f(baseline, *arguments)).cpu().double()
            self.incompleteness = max(self.incompleteness, float((moved - score).abs().max()))
        if not self.readout.is_classes:
            values, score = values * score.sign()[:, None], score.abs()
        at = column.cpu()
        self.total.index_add_(0, at, values)
        self.score.index_add_(0, at, score)
        self.count.index_add_(0, at, torch.ones_like(score))
        size = values.abs()
        self.size.index_add_(0, at, size.sum(dim=1))
        self.tied_size.index_add_(0, at, size[:, self.tied].sum(dim=1))

    def frame(self, genes: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
        """Mean attributions, genes x columns, and figures in ``attrs``."""
        mean = (self.total / self.count[:, None]).numpy().T
        frame = pd.DataFrame(mean, index=pd.Index(genes), columns=pd.Index(columns))
        figures = {
            "n_rows": self.count.int(),
            "score": self.score / self.count,
            "tied_share": self.tied_size / self.size,
        }
        for name, values in figures.items():
            frame.attrs[name] = dict(zip(columns, values.tolist(), strict=True))
        if self.method != "gradient_shap":
            frame.attrs["incompleteness"] = self.incompleteness
        return frame
