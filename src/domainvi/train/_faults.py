"""NaN and infinity in a training, found at the step with the rows and the term that broke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from domainvi.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Losses and two gradient norms a step: about 20 steps.
CHECK_EVERY = 60
_SHOWN = 5


@dataclass
class _Step:
    number: int
    terms: dict[str, torch.Tensor]
    row_terms: Mapping[str, torch.Tensor]
    rows: torch.Tensor | None


class FaultFinder:
    """Check the losses of each step.

    On a CPU a step is checked before its gradients are computed. A GPU would have to wait, so
    there about 20 steps are checked at once, and at the end of an epoch what remains.

    Parameters
    ----------
    remedy
        What to do, for the message.
    every
        Calls of :meth:`add` to check at once; by the device of the losses if ``None``.

    Examples
    --------
    >>> import torch
    >>> finder = FaultFinder("Use a smaller learning rate.")
    >>> finder.add(7, {"loss": torch.tensor(1.0)}, {}, None)
    >>> finder.add(8, {"loss": torch.tensor(torch.nan)}, {}, torch.tensor([3, 5]))
    Traceback (most recent call last):
    ...
    domainvi.errors.TrainingError: loss became NaN or infinite in step 8, rows 3, 5 of the data. ...
    """

    def __init__(self, remedy: str, every: int | None = None) -> None:
        self.remedy, self.every = remedy, every
        self.steps: list[_Step] = []

    def add(
        self,
        number: int,
        terms: Mapping[str, torch.Tensor],
        row_terms: Mapping[str, torch.Tensor],
        rows: torch.Tensor | None,
    ) -> None:
        """Take the losses of a step.

        Parameters
        ----------
        number
            Number of the step, from 1.
        terms
            Scalars; the first is the sum of the others, in which any fault shows.
        row_terms
            Losses by row, to tell which rows broke.
        rows
            Row numbers of the batch.

        Raises
        ------
        TrainingError
            If a loss of a step that is due is NaN or infinite.
        """
        detached, by_row = (
            {name: value.detach() for name, value in losses.items()}
            for losses in (terms, row_terms)
        )
        self.steps.append(_Step(number, detached, by_row, rows))
        on_cpu = next(iter(detached.values())).device.type == "cpu"
        if len(self.steps) >= (self.every or (1 if on_cpu else CHECK_EVERY)):
            self.check()

    def check(self) -> None:
        """Check all steps that have not been checked.

        Raises
        ------
        TrainingError
            If a loss is NaN or infinite.
        """
        steps, self.steps = self.steps, []
        if not steps:
            return
        total = torch.stack([next(iter(step.terms.values())) for step in steps])
        bad = torch.nonzero(~torch.isfinite(total))
        if len(bad):
            raise TrainingError(self._describe(steps[int(bad[0])]))

    def _describe(self, step: _Step) -> str:
        total, *parts = step.terms
        broken = [name for name in parts if not torch.isfinite(step.terms[name])] or [total]
        message = f"{', '.join(broken)} became NaN or infinite in step {step.number}"
        if step.rows is not None:
            message += f", rows {_listed(_blamed(step))} of the data"
        return f"{message}. {self.remedy}"


def _blamed(step: _Step) -> list[int]:
    """Rows whose own losses are not finite; all of the batch when there are none."""
    rows = step.rows.cpu() if step.rows is not None else torch.empty(0)
    bad = torch.zeros(len(rows), dtype=torch.bool)
    for values in step.row_terms.values():
        if len(values) == len(rows):
            bad |= ~torch.isfinite(values).cpu()
    return sorted(set((rows[bad] if bad.any() else rows).tolist()))


def _listed(rows: list[int]) -> str:
    shown = ", ".join(map(str, rows[:_SHOWN]))
    return shown if len(rows) <= _SHOWN else f"{shown} and {len(rows) - _SHOWN} more"
