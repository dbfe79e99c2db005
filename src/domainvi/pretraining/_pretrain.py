"""Pretrain the encoder of a model on pooled rows, and bring the model into order afterwards."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from scvi.train import TrainRunner
from torch.utils.data import DataLoader, Dataset

from domainvi.data import TransferSampler, to_tensors
from domainvi.errors import InputError
from domainvi.module import EXPRESSION
from domainvi.train import extend_statistics, quiet, seeded

from ._encoder import fit_classifier, standardise_latents
from ._plan import PretrainingPlan
from ._settings import PretrainingRecord, pretraining_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData
    from domainvi.module import DomainVAE

    from ._settings import Method, PretrainingSettings

KEPT = (REGISTRY_KEYS.X_KEY, REGISTRY_KEYS.BATCH_KEY, REGISTRY_KEYS.SIZE_FACTOR_KEY)
# Compared vectors are as good as one above the first, and embeddings a line below the second.
COLLAPSED_UNIFORMITY = -0.05
COLLAPSED_RANK = 2.0
REMEDY = {
    "scarf": "a larger batch_size, a lower temperature or a smaller lr",
    "vime": "a smaller lr or a corruption_rate around 0.3",
    "byol": "an ema_decay nearer to 1, a smaller lr or method='scarf'",
}


class Pretrainable(Protocol):
    """The parts of a model that pretraining needs."""

    module: DomainVAE
    seed: int
    is_trained_: bool
    # With is_scaled, n_reference_domains and pretraining, the record that is written.
    fitted: Any

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
    with seeded(model.seed), quiet():
        rows = [own, *more]
        loader, statistics = pooled_loader(model.module, rows, settings.batch_size, model.seed)
        epochs = settings.max_epochs
        plan = PretrainingPlan(model.module, method, settings, statistics, epochs * len(loader))
        whole: Any = model
        runner = TrainRunner(whole, plan, loader, epochs, accelerator, devices, **trainer_kwargs)
        plan.train()
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
        collapsed=rank < COLLAPSED_RANK or uniformity > COLLAPSED_UNIFORMITY,
    )
    if record.collapsed:
        warnings.warn(
            f"The pretrained embedding has collapsed: effective rank {rank:.1f} of "
            f"{model.module.n_latent}, uniformity {uniformity:.3f} (0 when all rows are alike). "
            f"Make a new model and pretrain with {REMEDY[method]}.",
            UserWarning,
            stacklevel=3,
        )


class PooledRows(Dataset):
    """Rows of several prepared objects as one dataset; domain codes of each follow the last's."""

    def __init__(self, prepared: Sequence[PreparedAnnData], n_domains: Sequence[int]) -> None:
        self.parts = [part.manager.create_torch_dataset() for part in prepared]
        self.ends = np.cumsum([part.n_obs for part in prepared])
        self.offset = np.cumsum([0, *n_domains[:-1]])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: list[int]) -> dict[str, NDArray]:
        rows = np.asarray(index)
        part = np.searchsorted(self.ends, rows, side="right")
        pieces = []
        for i in np.unique(part):
            start = self.ends[i - 1] if i else 0
            piece = self.parts[i][(rows[part == i] - start).tolist()]
            piece = {k: np.asarray(piece[k]) for k in KEPT if k in piece}
            piece[REGISTRY_KEYS.BATCH_KEY] = piece[REGISTRY_KEYS.BATCH_KEY] + self.offset[i]
            pieces.append(piece)
        return {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]}


def pooled_loader(
    module: DomainVAE, prepared: Sequence[PreparedAnnData], batch_size: int, seed: int
) -> tuple[DataLoader, tuple[torch.Tensor, torch.Tensor]]:
    """Load shuffled rows of all objects, with centre and scale of their domains.

    The module's scaling serves the first object; domains and missing genes of the others are added.
    """
    standardiser = module.modalities.only.standardiser
    statistics = [(standardiser.loc, standardiser.scale)]
    for part in prepared[1:]:
        domain = np.asarray(part.manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY)).ravel()
        extended, _ = extend_statistics(module, EXPRESSION, part, domain.astype(np.int64))
        statistics.append(extended.network)
    rows = PooledRows(prepared, [len(centre) for centre, _ in statistics])
    sampler = TransferSampler(np.arange(len(rows)), np.zeros(len(rows)), batch_size, seed)
    loader = DataLoader(rows, sampler=sampler, batch_size=None, collate_fn=to_tensors)
    centre, scale = (torch.cat(pair).clone() for pair in zip(*statistics, strict=True))
    return loader, (centre, scale)


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
    means = model._latent_means(prepared)
    fit_classifier(model.module.classifier, means, model._labels(prepared))


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
