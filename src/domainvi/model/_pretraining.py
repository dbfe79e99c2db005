"""Self-supervised pretraining of the encoder, and encoders from saved models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from domainvi.pretraining import full_history, pretrain, pretrained_representation, start_from

from ._training import TrainingMixin

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray


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
            Arguments of :class:`lightning.pytorch.Trainer`.
        batch_size
            Rows a step.
        plan_kwargs
            Other fields of :class:`~domainvi.pretraining.PretrainingSettings`, corruption rate and
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
        >>> model = dv.DomainVI(adata)
        >>> model.pretrain(max_epochs=2, enable_progress_bar=False)
        >>> len(model.history["pretraining_effective_rank"])
        2
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        """
        pretrain(
            self,
            method,
            max_epochs,
            preset,
            adata,
            accelerator,
            devices,
            batch_size,
            plan_kwargs,
            **trainer_kwargs,
        )

    @property
    def history(self) -> dict[str, pd.DataFrame] | None:
        """Losses and other numbers of pretraining and training, one row an epoch."""
        return full_history(self.pretraining_, self.history_)

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
        >>> model = dv.DomainVI(adata)
        >>> model.pretrain(max_epochs=1, enable_progress_bar=False)
        >>> len(model.get_pretrained_representation())
        200
        """
        return pretrained_representation(self, adata, indices)

    def _start_from(self, dir_path: str | os.PathLike[str]) -> None:
        start_from(self, dir_path)
