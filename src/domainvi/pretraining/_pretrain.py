"""Pretrain the encoder of a model, and bring the model into order afterwards."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from scvi.train import TrainRunner

from domainvi.errors import InputError
from domainvi.train import seeded

from ._encoder import fit_classifier, standardise_latents
from ._plan import PretrainingPlan, is_collapsed
from ._rows import pooled_loader
from ._settings import PretrainingRecord, pretraining_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData
    from domainvi.module import DomainVAE

    from ._settings import Method, PretrainingSettings

REMEDY = {
    "scarf": "a larger batch_size, a lower temperature or a smaller lr",
    "vime": "a smaller lr or a corruption_rate around 0.3",
    "byol": "an ema_decay nearer to 1, a smaller lr or method='scarf'",
}


class PretrainedState(Protocol):
    """The fitted state that pretraining reads and writes."""

    is_scaled: bool
    n_reference_domains: int | None
    pretraining: PretrainingRecord | None


class Pretrainable(Protocol):
    """The parts of a model that pretraining needs."""

    module: DomainVAE
    seed: int
    is_trained_: bool
    fitted: PretrainedState

    @property
    def genes(self) -> list[str]:
        """Genes of the model, in its order."""

    def _validate_anndata(self, adata: AnnData | None = None) -> PreparedAnnData: ...

    def _prepare_query(self, adata: AnnData) -> PreparedAnnData: ...

    def _check_genes(self, prepared: PreparedAnnData, method: str, /) -> None: ...

    def _refuse_several(self, method: str) -> None:
        """Refuse a model of several modalities."""

    def _row_numbers(
        self, prepared: PreparedAnnData, indices: Sequence | NDArray | None, /
    ) -> NDArray[np.int64]: ...

    def _labels(self, prepared: PreparedAnnData, /) -> NDArray[np.int64]:
        """Class codes of all rows, -1 where unlabelled."""

    def _fit_starting_values(self, prepared: PreparedAnnData, /) -> None:
        """Fit input scaling and linear members."""

    def _latent_means(
        self, prepared: PreparedAnnData, rows: NDArray[np.int64] | None = None, /
    ) -> NDArray[np.float32]:
        """Latent means of rows as the encoder gives them."""

    def to_device(self, device: Any) -> None:
        """Move the model."""


def pretrain(
    model: Pretrainable,
    method: Method = "vime",
    max_epochs: int | None = None,
    preset: str | None = None,
    adata: AnnData | None = None,
    accelerator: str = "auto",
    devices: int | list[int] | str = "auto",
    batch_size: int | None = None,
    plan_kwargs: dict[str, Any] | None = None,
    **trainer_kwargs: Any,
) -> None:
    """Pretrain the encoder on every row; see :meth:`domainvi.DomainVI.pretrain`."""
    model._refuse_several("pretrain")
    named = {"max_epochs": max_epochs, "batch_size": batch_size}
    changes = (plan_kwargs or {}) | {k: v for k, v in named.items() if v is not None}
    settings = pretraining_settings(method, preset, **changes)
    own, *more = pretraining_rows(model, adata, settings)
    if not model.fitted.is_scaled:
        model._fit_starting_values(own)
    with seeded(model.seed):
        loader, statistics = pooled_loader(
            model.module, [own, *more], settings.batch_size, model.seed
        )
        steps = settings.max_epochs * len(loader)
        plan = PretrainingPlan(model.module, method, settings, statistics, steps)
        whole: Any = model
        runner = TrainRunner(
            whole, plan, loader, settings.max_epochs, accelerator, devices, **trainer_kwargs
        )
        # Not runner(): the model is not trained by this, and has no held-out rows.
        runner.trainer.fit(plan, loader)
    model.module.eval()
    model.to_device(runner.device)
    encoder = model.module.modalities.only.z_encoder
    standardise_latents(encoder, torch.from_numpy(model._latent_means(own)))
    start_classifier(model, own)
    logged = getattr(runner.trainer.logger, "history", {})
    rank, uniformity = plan.latest["effective_rank"], plan.latest["uniformity"]
    model.fitted.pretraining = record = replace(
        model.fitted.pretraining or PretrainingRecord(),
        method=method,
        settings=settings,
        history={k: v.iloc[:, 0].astype(float).tolist() for k, v in logged.items()},
        collapsed=is_collapsed(rank, uniformity),
    )
    if record.collapsed:
        warnings.warn(
            f"The pretrained embedding has collapsed: effective rank {rank:.1f} of "
            f"{model.module.n_latent}, uniformity {uniformity:.3f} (0 when all rows are alike). "
            f"Make a new model and pretrain with {REMEDY[method]}.",
            UserWarning,
            stacklevel=3,
        )


def pretraining_rows(
    model: Pretrainable, adata: AnnData | None, settings: PretrainingSettings
) -> list[PreparedAnnData]:
    """Return the model's own rows, and those of ``adata``; refuse what cannot be pretrained on."""
    own = model._validate_anndata()
    if model.is_trained_ or model.fitted.n_reference_domains is not None:
        msg = (
            "The model is trained, or extends one that is. Call pretrain before train, on a "
            "new model."
        )
        raise InputError(msg)
    model._check_genes(own, "pretrain")
    if adata is None:
        return [own]
    more = model._prepare_query(adata)
    missing = int((~more.gene_mask).sum())
    if missing and not settings.within_domain:
        msg = (
            f"adata lacks {missing} of {len(model.genes)} genes, and within_domain=False would "
            "lend their zeros to other rows. Use within_domain=True."
        )
        raise InputError(msg)
    return [own, more]


def start_classifier(model: Pretrainable, prepared: PreparedAnnData) -> None:
    """Start the classifier at a logistic regression on the latents of labelled rows."""
    means, label = model._latent_means(prepared), model._labels(prepared)
    fit_classifier(model.module.classifier, means, label)


def pretrained_representation(
    model: Pretrainable,
    adata: AnnData | None = None,
    indices: Sequence[int] | Sequence[bool] | None = None,
) -> NDArray[np.float32]:
    """Latent means; see :meth:`domainvi.DomainVI.get_pretrained_representation`."""
    if model.fitted.pretraining is None or not model.fitted.is_scaled:
        msg = "The model is not pretrained. Call pretrain first."
        raise InputError(msg)
    prepared = model._validate_anndata(adata)
    return model._latent_means(prepared, model._row_numbers(prepared, indices))
