"""The heads of a model: scores of rows as differentiable functions of their log values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch

from domainvi.data import row_loader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

LATENTS = "latent"


@dataclass(frozen=True)
class Head:
    """A head to explain.

    Parameters
    ----------
    name
        Name of the phenotype, and of the array that is written.
    columns
        Names of the scores, in their order.
    score
        Takes log values ``(n_rows, n_genes)`` and domain codes ``(n_rows,)``, and returns
        ``(n_rows, n_columns)``: log-probabilities of classes, or values.
    is_classes
        Whether the scores are those of classes, so that one is explained against another.
    n_domains
        Number of domains of the rows, those that are new to the model among them.
    order
        The columns in the order in which they are shown.
    """

    name: str
    columns: list[str]
    score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    is_classes: bool
    n_domains: int
    order: list[str]


class Explainable(Protocol):
    """The parts of a model that explanations need, beside a function that returns its heads."""

    module: Any
    seed: int

    @property
    def genes(self) -> list[str]:
        """Genes of the model, in its order."""

    def _check_trained(self) -> None: ...

    def _own_data(self) -> AnnData: ...

    def _validate_anndata(self, adata: AnnData | None = None) -> PreparedAnnData: ...

    def _row_numbers(
        self, prepared: PreparedAnnData, indices: Sequence | NDArray | None, /
    ) -> NDArray: ...

    def _retrained(self, seed: int) -> Any:
        """Train such a model anew from another seed; refuse where that cannot be done."""


# The head of a model for prepared rows that ``target`` names; ``None`` is the main one.
HeadOf: TypeAlias = Callable[[Any, "PreparedAnnData", str | None], Head]


def log_batches(
    module: Any, prepared: PreparedAnnData, rows: NDArray, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield log values and domain codes of rows, in order, on the module's device.

    To a module that takes no domain, all rows are of one.
    """
    for tensors in row_loader(prepared.manager, rows, batch_size):
        inputs = module._get_inference_input(tensors)
        x, factor = inputs["x"].float().to(module.device), inputs["size_factor"]
        factor = None if factor is None else factor.to(module.device)
        u, _ = module.log_values(x, factor)
        domain = inputs.get("batch_index", torch.zeros(len(u), 1))
        yield u, domain.squeeze(-1).long().to(module.device)
