"""Self-supervised pretraining of the encoder, and encoders from saved models."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import torch
from scvi import REGISTRY_KEYS
from scvi.train import TrainRunner

from domainvi._compat import FIELD_REGISTRIES_KEY, STATE_REGISTRY_KEY
from domainvi.data import align_genes
from domainvi.errors import InputError, ModelFileError
from domainvi.io import read_model
from domainvi.linear import source_domains
from domainvi.train import (
    PretrainingPlan,
    PretrainingSettings,
    adopt_encoder,
    is_collapsed,
    pooled_loader,
    pretraining_settings,
    seeded,
    settle_latents,
    start_classifier,
)

from ._codes import codes
from ._stored import MODULE_PREFIX, history_columns, history_frame
from ._training import TrainingMixin

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

# With fewer shared genes than this, of the shorter list, a pretrained encoder is in doubt.
MIN_OVERLAP = 0.5
ENCODER_PREFIX = MODULE_PREFIX + "z_encoder."
REMEDY = {
    "scarf": "a larger batch_size, a lower temperature or a smaller lr",
    "vime": "a smaller lr or a corruption_rate around 0.3",
    "byol": "an ema_decay nearer to 1, a smaller lr or method='scarf'",
}


class PretrainingMixin(TrainingMixin):
    """``pretrain``, for models that can be trained."""

    def pretrain(
        self,
        method: Literal["scarf", "vime", "byol"] = "vime",
        max_epochs: int | None = None,
        preset: Literal["paper"] | None = None,
        adata: AnnData | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        batch_size: int | None = None,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Pretrain the encoder on every row, labelled or not, before :meth:`train`.

        Values of the rows are corrupted, and the encoder learns to recognise the row
        (``"scarf"``: Bahri et al., ICLR 2022), to foresee an averaged encoder's view of it
        (``"byol"``: Grill et al., NeurIPS 2020), or to find and undo the corruption (``"vime"``:
        Yoon et al., NeurIPS 2020); on bulk RNA-seq they are compared in arXiv 2507.13912. No label
        enters the loss. Input scaling and starting values are those of :meth:`train`, which
        afterwards leaves the encoder as it finds it.

        Parameters
        ----------
        method
            What the encoder learns from. ``"vime"`` did best where at most five rows a class were
            labelled (``benchmarks/pretraining``).
        max_epochs
            Passes over the rows; an epoch has at least 20 steps.
        preset
            ``None`` for settings that suit cohorts of hundreds of rows, ``"paper"`` for those of
            the published code. Its encoder was ``DomainVI(adata, n_hidden=256, n_layers=4)``.
        adata
            More rows, for pretraining only: no labels are needed, genes are matched by name, and
            cohorts that this model does not know are standardised by their own rows.
        accelerator, devices
            As for :class:`lightning.pytorch.Trainer`.
        batch_size
            Rows a step.
        plan_kwargs
            Other fields of :class:`~domainvi.train.PretrainingSettings`, corruption rate and
            temperature for instance.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`, ``enable_progress_bar`` for instance.

        Returns
        -------
        Nothing. ``model.history`` gets ``pretraining_loss``, ``pretraining_effective_rank``,
        ``pretraining_alignment`` and ``pretraining_uniformity``, one value an epoch.

        Warns
        -----
        UserWarning
            If the embedding has collapsed, with the remedy.

        Raises
        ------
        InputError
            If an argument cannot be used, or the model is trained already.
        TrainingError
            If the loss becomes NaN or infinite.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=100, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.pretrain(max_epochs=2, enable_progress_bar=False)
        >>> len(model.history["pretraining_effective_rank"])
        2
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        """
        self._refuse_several("pretrain")
        named = {"max_epochs": max_epochs, "batch_size": batch_size}
        changes = (plan_kwargs or {}) | {k: v for k, v in named.items() if v is not None}
        settings = pretraining_settings(method, preset, **changes)
        works = self._pretraining_rows(adata, settings)
        if not self.is_scaled_:
            domain, label = codes(works[0].manager, REGISTRY_KEYS.BATCH_KEY), self._labels(works[0])
            self._fit_scaling(works[0], source_domains(domain, label, len(self.domains)))
        with seeded(self.seed):
            loader, tables = pooled_loader(self.module, works, settings.batch_size, self.seed)
            steps = settings.max_epochs * len(loader)
            plan = PretrainingPlan(self.module, method, settings, tables, steps)
            runner = TrainRunner(
                self, plan, loader, settings.max_epochs, accelerator, devices, **trainer_kwargs
            )
            # Not runner(): the model is not trained by this, and has no held-out rows.
            runner.trainer.fit(plan, loader)
        self.module.eval()
        self.to_device(runner.device)
        settle_latents(self.module.z_encoder, torch.from_numpy(self._means(works[0], None)))
        self._start_classifier(works[0])
        logged = getattr(runner.trainer.logger, "history", {})
        self.pretraining_ = {
            "method": method,
            "settings": asdict(settings),
            "history": {k: history_columns(v) for k, v in logged.items()},
        }
        self._report_collapse(method, plan.latest["effective_rank"], plan.latest["uniformity"])

    def _pretraining_rows(
        self, adata: AnnData | None, settings: PretrainingSettings
    ) -> list[PreparedAnnData]:
        """Own rows, and those of ``adata``; everything that is wrong with them is said here."""
        own = self._validate_anndata()
        if self.is_trained_ or self.n_reference_domains_ is not None:
            msg = (
                "The model is trained, or extends one that is. Call pretrain before train, on a "
                "new model."
            )
            raise InputError(msg)
        self._check_genes(own, "pretrain")
        if adata is None:
            return [own]
        more = self._prepare_query(adata)
        missing = int((~more.gene_mask).sum())
        if missing and not settings.within_domain:
            msg = (
                f"adata lacks {missing} of {len(self.genes)} genes, and within_domain=False would "
                "lend their zeros to other rows. Use within_domain=True."
            )
            raise InputError(msg)
        return [own, more]

    def _report_collapse(self, method: str, rank: float, even: float) -> None:
        """Say whether the embedding has collapsed, and what to do about it."""
        self.pretraining_["collapsed"] = is_collapsed(rank, even)
        if self.pretraining_["collapsed"]:
            warnings.warn(
                f"The pretrained embedding has collapsed: effective rank {rank:.1f} of "
                f"{self.module.n_latent}, uniformity {even:.3f} (0 when all rows are alike). Make "
                f"a new model and pretrain with {REMEDY[method]}.",
                UserWarning,
                stacklevel=3,
            )

    def _fit_scaling(self, work: PreparedAnnData, is_source: NDArray[np.bool_]) -> None:
        super()._fit_scaling(work, is_source)
        if self.pretraining_:
            self._start_classifier(work)

    def _start_classifier(self, work: PreparedAnnData) -> None:
        start_classifier(self.module.classifier, self._means(work, None), self._labels(work))

    @property
    def history(self) -> dict[str, pd.DataFrame] | None:
        """Figures of pretraining and training, one row an epoch."""
        earlier = self.pretraining_.get("history", {})
        if self.history_ is None and not earlier:
            return None
        return {k: history_frame(k, v) for k, v in earlier.items()} | (self.history_ or {})

    def _means(self, work: PreparedAnnData, rows: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """Latent means as the encoder gives them."""
        return self._forward(work, rows, None, wanted=()).mean

    def get_pretrained_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
    ) -> NDArray[np.float32]:
        """Latent means after :meth:`pretrain`, before or after :meth:`train`.

        Parameters
        ----------
        adata
            Rows to encode; the model's own data if ``None``. Genes are matched by name.
        indices
            Row numbers or a mask; all rows if ``None``.

        Returns
        -------
        Array of shape ``(n_rows, n_latent)``, float32.

        Raises
        ------
        InputError
            If there was no pretraining.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.pretrain(max_epochs=1, enable_progress_bar=False)
        >>> len(model.get_pretrained_representation())
        200
        """
        if not self.pretraining_ or not self.is_scaled_:
            msg = "The model is not pretrained. Call pretrain first."
            raise InputError(msg)
        work = self._validate_anndata(adata)
        return self._means(work, self._row_numbers(work, indices))

    def _start_from(self, dir_path: str | os.PathLike[str]) -> None:
        """Take the encoder of a saved model, genes by name."""
        tensors, metadata = read_model(dir_path)
        weights = {
            name.removeprefix(ENCODER_PREFIX): tensor
            for name, tensor in tensors.items()
            if name.startswith(ENCODER_PREFIX)
        }
        if not weights:
            msg = f"pretrain_from={str(dir_path)!r} holds a model without an encoder to start from."
            raise ModelFileError(msg)
        fields = metadata["registry"][FIELD_REGISTRIES_KEY]
        names = fields[REGISTRY_KEYS.X_KEY][STATE_REGISTRY_KEY]["column_names"]
        alignment = align_genes(list(names), self.genes, min_overlap=0.0)
        if alignment.n_matched < MIN_OVERLAP * min(len(names), len(self.genes)):
            warnings.warn(
                f"pretrain_from shares {alignment.n_matched} genes with adata, of its "
                f"{len(names)} and of {len(self.genes)} here; the other genes start without "
                "weight. Check that both use the same identifiers.",
                UserWarning,
                stacklevel=3,
            )
        adopt_encoder(self.module.z_encoder, weights, alignment)
        self.pretraining_ = {
            "source": metadata["state"].get("pretraining_", {}),
            "n_genes_matched": alignment.n_matched,
        }
