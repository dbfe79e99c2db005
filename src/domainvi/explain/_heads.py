"""What there is to explain: scores of rows as differentiable functions of their log values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from scvi import REGISTRY_KEYS

from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import row_loader
from domainvi.errors import InputError

from ._codes import codes
from ._persistence import PersistenceMixin
from ._stored import StoredMixin
from ._training import TrainingMixin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

LATENTS = "latent"


@dataclass(frozen=True)
class Readout:
    """A head to explain.

    Parameters
    ----------
    name
        Of the phenotype; names the array that is written.
    columns
        Names of the scores, in their order.
    score
        Takes log values ``(n_rows, n_genes)`` and domain codes ``(n_rows,)``, and returns
        ``(n_rows, n_columns)``: log-probabilities of classes, or values.
    is_classes
        Whether the scores are those of classes, so that one is explained against another.
    n_domains
        Domains of the rows, those that are new to the model among them.
    order
        The columns in the order in which they are shown.
    """

    name: str
    columns: list[str]
    score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    is_classes: bool
    n_domains: int
    order: list[str]


class LogRowsMixin(StoredMixin):
    """Log values of rows, and the same model from another seed."""

    def _log_batches(
        self, work: PreparedAnnData, rows: NDArray[np.int64], batch_size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield log values and domain codes of rows, in order, on the module's device.

        To an encoder without input scaling by domain, all rows are of one domain.
        """
        module = self.module
        for tensors in row_loader(work.manager, rows, batch_size):
            inputs = module._get_inference_input(tensors)
            x, factor = inputs["x"].float().to(module.device), inputs["size_factor"]
            factor = None if factor is None else factor.to(module.device)
            u = module.log_values(x, module.library_size(x, factor))
            domain = inputs.get("batch_index", torch.zeros(len(u), 1))
            yield u, domain.squeeze(-1).long().to(module.device)

    def _retrained(self, seed: int) -> Self:
        """Train a model with the same arguments on the same rows from another seed."""
        work = self._validate_anndata()
        model: Any = type(self)(work, **(self._parameters() | {"seed": seed}))
        accelerator = "cpu" if self.module.device.type == "cpu" else "auto"
        model.train(**self.training_, accelerator=accelerator, enable_progress_bar=False)
        return model


class ReadoutMixin(LogRowsMixin, TrainingMixin, PersistenceMixin):
    """The heads of a model with an encoder, a classifier and linear members."""

    def _retrained(self, seed: int) -> Self:
        if self.pretraining_:
            msg = (
                "stability= trains the model anew, and cannot repeat its pretraining. Pretrain and "
                "train models with other seeds, and compare what they explain."
            )
            raise InputError(msg)
        return super()._retrained(seed)

    def _readout(self, work: PreparedAnnData, target: str | None) -> Readout:
        """Return the head that ``target`` names; ``None`` is the main phenotype."""
        self._refuse_several("explain")
        key = self.registry_[SETUP_ARGS_KEY]["labels_key"]
        tables, module = self._scaling_tables(work), self.module
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        n_domains = max(len(self.domains), int(domain.max(initial=0)) + 1)

        def latents(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
            return module.embed_log(u, domain, tables).mean

        def classes(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
            out = module.embed_log(u, domain, tables)
            return module.ensemble(out.network, out.linear, domain)

        if target in (None, key):
            return Readout(key, self.classes, classes, True, n_domains, self.class_order_)
        if target == LATENTS:
            names = [f"{LATENTS}_{i}" for i in range(module.n_latent)]
            return Readout(LATENTS, names, latents, False, n_domains, names)
        found = {t.key: t for t in self.targets}.get(target)
        if found is None:
            known = [key, LATENTS, *(t.key for t in self.targets)]
            msg = f"target={target!r} is not known. Use None or one of {', '.join(known)}."
            raise InputError(msg)

        def phenotype(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
            return module.target_scores(found.key, u, domain, tables)

        names = [found.key] if found.is_numeric else list(found.classes)
        order = names if found.is_numeric else self.target_order_[found.key]
        return Readout(found.key, names, phenotype, not found.is_numeric, n_domains, order)
