"""The distribution of several modalities side by side, each under its own likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributions import Distribution

if TYPE_CHECKING:
    from collections.abc import Callable


class BlockDistribution(Distribution):
    """Independent blocks of columns; what was not measured has the log-probability 0.

    Parameters
    ----------
    blocks
        Distribution of each modality, the last dimension its columns.
    columns
        Column numbers of each block in the joint table.
    present
        Whether a row has a modality, boolean, shape ``(n_rows, n_modalities)``.

    Examples
    --------
    >>> from torch.distributions import Normal
    >>> blocks = [Normal(torch.zeros(2, 1), 1.0), Normal(torch.ones(2, 1), 1.0)]
    >>> columns = [torch.tensor([1]), torch.tensor([0])]
    >>> joint = BlockDistribution(blocks, columns, torch.tensor([[True, True], [True, False]]))
    >>> joint.mean.tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    >>> joint.log_prob(torch.tensor([[1.0, 0.0], [1.0, 0.0]])).tolist()
    [[-0.9189385175704956, -0.9189385175704956], [0.0, -0.9189385175704956]]
    """

    arg_constraints = {}

    def __init__(
        self, blocks: list[Distribution], columns: list[torch.Tensor], present: torch.Tensor
    ) -> None:
        super().__init__(validate_args=False)
        self.blocks, self.columns, self.present = blocks, columns, present
        self.order = torch.argsort(torch.cat(columns))

    def _join(self, values: Callable[[Distribution, int], torch.Tensor]) -> torch.Tensor:
        parts = [values(block, i) for i, block in enumerate(self.blocks)]
        return torch.cat(parts, dim=-1)[..., self.order]

    @property
    def mean(self) -> torch.Tensor:
        """Expected values of all columns, measured or not."""
        return self._join(lambda block, _: block.mean)

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draw values of all columns, measured or not."""
        return self._join(lambda block, _: block.sample(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log-probability of each value, 0 where the row lacks the modality."""
        return self._join(
            lambda block, i: torch.where(
                self.present[:, i : i + 1], block.log_prob(value[..., self.columns[i]]), 0.0
            )
        )
