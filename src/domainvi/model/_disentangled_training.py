"""Training of DisentangledVI."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi.train import TrainRunner

from domainvi.data import TransferDataModule, stratified_split
from domainvi.errors import InputError
from domainvi.train import (
    Concept,
    DisentangledTrainingPlan,
    erasure_map,
    log_rows,
    seeded,
    set_library,
    start_disentangled,
    subsample,
)

from ._subspaces import SubspaceMixin
from ._training import check_training_arguments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

DEFAULT_EPOCHS = 40
PATIENCE = 10


class DisentangledTrainingMixin(SubspaceMixin):
    """``train`` for models with subspaces."""

    def train(
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float = 0.9,
        batch_size: int = 128,
        early_stopping: bool = False,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Passes over the training rows; an epoch has at least 20 steps. 40 by default.
        accelerator, devices
            As for :class:`lightning.pytorch.Trainer`.
        train_size
            Share of rows to train on; the others are held out, stratified by the first factors of
            the first two groups.
        batch_size
            Rows a step.
        early_stopping
            Stop when the loss of held-out rows has not improved for 10 epochs. Off by default: the
            loss without the independence term says when reconstruction is done, not when the
            subspaces are apart.
        plan_kwargs
            Arguments of :class:`~domainvi.train.DisentangledTrainingPlan`: learning rate and
            weights of the terms.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`.

        Returns
        -------
        Nothing. Losses of each epoch are in ``model.history``.

        Raises
        ------
        InputError
            If an argument is out of range, before anything is changed.
        TrainingError
            If a loss becomes NaN or infinite.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(n_obs=300, n_genes=60, seed=1)
        >>> groups = {"biological": ["tissue"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        >>> model = dv.DisentangledVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.is_trained
        True
        """
        check_training_arguments(max_epochs, train_size, batch_size, {})
        arguments = {**(plan_kwargs or {})}
        known = set(inspect.signature(DisentangledTrainingPlan).parameters) - {"module", "n_steps"}
        if unknown := sorted(set(arguments) - known):
            msg = f"plan_kwargs has {', '.join(unknown)}; it takes {', '.join(sorted(known))}."
            raise InputError(msg)
        work = self._validate_anndata()
        strata = self._strata(work)
        train_idx, val_idx = stratified_split(*strata, 1 - train_size, self.seed)
        if not self.is_scaled_:
            drawn = subsample(*strata, self.seed)
            set_library(self.module, work, drawn)
            start_disentangled(self.module, log_rows(self.module, work, drawn))
            self.is_scaled_ = True
        data = TransferDataModule(
            work.manager, train_idx, val_idx, unweighted, batch_size, self.seed
        )
        max_epochs = DEFAULT_EPOCHS if max_epochs is None else max_epochs
        plan = DisentangledTrainingPlan(
            self.module, n_steps=max_epochs * len(data.sampler), **arguments
        )
        runner = TrainRunner(
            self,
            training_plan=plan,
            data_splitter=data,
            max_epochs=max_epochs,
            accelerator=accelerator,
            devices=devices,
            early_stopping=early_stopping and len(val_idx) > 0,
            early_stopping_monitor="validation_loss",
            early_stopping_patience=PATIENCE,
            **trainer_kwargs,
        )
        with seeded(self.seed):
            runner()
        if plan.adversary_weight > 0 and self.module.alignment.kind != "none":
            self._fit_erasure(work)
        self._fit_priors(work)
        self._fit_errors(work, val_idx if len(val_idx) else train_idx)

    def _strata(self, work: PreparedAnnData) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Levels by which rows are split: of the first factor of the second and first group."""
        values = self._values(work)
        first = [next(k for k, f in enumerate(self.factors) if f.group == g) for g in self.groups]
        label, domain = (self.factors[k].codes(values[:, k]) for k in first[:2])
        return domain + 1, label

    @torch.inference_mode()
    def _fit_erasure(self, work: PreparedAnnData) -> None:
        """Project out of each subspace what is left of the factors of other groups."""
        values, mean = self._values(work), self._encode(work).mean
        codes = [f.codes(values[:, k]) for k, f in enumerate(self.factors)]
        foreign, blocks = self.module.alignment.foreign(), self.module.alignment.blocks
        for name in self.subspaces:
            at = self._columns_of(name)
            own = {k: blocks.condition(name, k) for n, k in foreign if n == name}
            concepts = [
                Concept(codes[k], self.factors[k].n_levels, None if s is None else codes[s])
                for k, s in own.items()
            ]
            matrix, centre = erasure_map(mean[:, at], concepts)
            self.module.erasure[at, at] = torch.from_numpy(matrix).float()
            self.module.erasure_centre[at] = torch.from_numpy(centre).float()

    @torch.inference_mode()
    def _fit_priors(self, work: PreparedAnnData) -> None:
        """Set each prior mean to the least-squares fit of the posterior means on the metadata.

        This is what maximises the ELBO given encoder and heads.
        """
        out = self._encode(work)
        values = torch.from_numpy(self._values(work))
        scores = [torch.from_numpy(s) for s in out.scores]
        metadata = self.module.metadata(values, scores)
        blocks = self.module.split(torch.from_numpy(out.mean))
        for name in self.groups:
            fit = torch.linalg.lstsq(metadata[name], blocks[name], driver="gelsd").solution
            self.module.get_parameter(f"priors.{name}.weight").copy_(fit.T)
        means = torch.cat([metadata[name].mean(dim=0) for name in self.groups])
        self.module.factor_mean.copy_(means)

    def _fit_errors(self, work: PreparedAnnData, rows: NDArray[np.int64]) -> None:
        """Keep the standard error of each numeric factor, from the rows that were held out."""
        values, out = self._values(work)[rows], self._encode(work, rows)
        self.errors_ = {}
        for k, factor in enumerate(self.factors):
            if factor.is_numeric:
                error = (out.scores[k][:, 0] - values[:, k])[np.isfinite(values[:, k])]
                self.errors_[factor.name] = float(np.sqrt(np.mean(error**2))) * factor.scale


def unweighted(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of rows for batches without a labelled half."""
    return np.zeros(len(rows))
