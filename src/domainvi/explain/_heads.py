"""The heads of a model: scores of rows as differentiable functions of their log values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
from scvi import REGISTRY_KEYS

from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import row_loader
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData, Target
    from domainvi.module import ScalingTables

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
    training_: dict[str, Any]

    @property
    def genes(self) -> list[str]:
        """Genes of the model, in its order."""

    def _check_trained(self) -> None: ...

    def _own_data(self) -> AnnData: ...

    def _validate_anndata(self, adata: AnnData | None = None) -> PreparedAnnData: ...

    def _row_numbers(
        self, work: PreparedAnnData, indices: Sequence | NDArray | None, /
    ) -> NDArray: ...

    def _parameters(self) -> dict[str, Any]: ...


# The head of a model for prepared rows that ``target`` names; ``None`` is the main one.
HeadOf: TypeAlias = Callable[[Any, "PreparedAnnData", str | None], Head]


class Transferring(Explainable, Protocol):
    """An :class:`Explainable` model with an encoder, a classifier and a linear ensemble."""

    registry_: dict[str, Any]
    class_order_: list[str]
    target_order_: dict[str, list[str]]

    @property
    def classes(self) -> list[str]: ...

    @property
    def targets(self) -> tuple[Target, ...]: ...

    def _refuse_several(self, method: str) -> None: ...

    def _scaling_tables(self, work: PreparedAnnData, /) -> ScalingTables | None: ...


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
        u = module.log_values(x, module.library_size(x, factor))
        domain = inputs.get("batch_index", torch.zeros(len(u), 1))
        yield u, domain.squeeze(-1).long().to(module.device)


def domainvi_head(model: Transferring, prepared: PreparedAnnData, target: str | None) -> Head:
    """Return the main head of a :class:`~domainvi.DomainVI`, its latents or a phenotype."""
    model._refuse_several("explain")
    key, module = model.registry_[SETUP_ARGS_KEY]["labels_key"], model.module
    statistics = model._scaling_tables(prepared)
    state = prepared.manager.get_state_registry(REGISTRY_KEYS.BATCH_KEY)
    n_domains = len(state.categorical_mapping)

    def latents(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        return module.embed_log(u, domain, statistics).mean

    def classes(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        out = module.embed_log(u, domain, statistics)
        return module.ensemble(out.network, out.linear, domain)

    if target in (None, key):
        return Head(key, model.classes, classes, True, n_domains, model.class_order_)
    if target == LATENTS:
        names = [f"{LATENTS}_{i}" for i in range(module.n_latent)]
        return Head(LATENTS, names, latents, False, n_domains, names)
    found = {t.key: t for t in model.targets}.get(target)
    if found is None:
        known = [key, LATENTS, *(t.key for t in model.targets)]
        msg = f"target={target!r} is not known. Use None or one of {', '.join(known)}."
        raise InputError(msg)

    def phenotype(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        return module.target_scores(found.key, u, domain, statistics)

    names = [found.key] if found.is_numeric else list(found.classes)
    order = names if found.is_numeric else model.target_order_[found.key]
    return Head(found.key, names, phenotype, not found.is_numeric, n_domains, order)
