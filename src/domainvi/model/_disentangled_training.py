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

from ._judgement import fit_calibration
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
        """
        check_training_arguments(max_epochs, train_size, batch_size, {})
        arguments = {**(plan_kwargs or {})}
        known = set(inspect.signature(DisentangledTrainingPlan).parameters) - {"module", "n_steps"}
        if unknown := sorted(set(arguments) - known):
            msg = f"plan_kwargs has {', '.join(unknown)}; it takes {', '.join(sorted(known))}."
            raise InputError(msg)
        work = self._validate_anndata()
        self._reset_erasure()
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
        self._fit_errors(work, train_idx, val_idx)

    def _strata(self, work: PreparedAnnData) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Levels by which rows are split: of the first factor of the second and first group."""
        values = self._values(work)
        first = [next(k for k, f in enumerate(self.factors) if f.group == g) for g in self.groups]
        label, domain = (self.factors[k].codes(values[:, k]) for k in first[:2])
        return domain + 1, label

    @torch.no_grad()
    def _reset_erasure(self) -> None:
        """Train on the latents as the encoder makes them."""
        self.module.erasure.copy_(torch.eye(self.module.n_latent))
        self.module.erasure_centre.zero_()

    @torch.inference_mode()
    def _fit_erasure(self, work: PreparedAnnData) -> None:
        """Project out of each subspace what is left of the factors of other groups."""
        values, mean = self._values(work), self._encode(work).mean
        codes = [f.codes(values[:, k]) for k, f in enumerate(self.factors)]
        blocks = self.module.alignment.blocks
        for name in self.subspaces:
            at = self._columns_of(name)
            own, foreign = [], []
            for k, factor in enumerate(self.factors):
                if factor.group == name:
                    own.append(Concept(codes[k], factor.n_levels))
                    continue
                shared = blocks.condition(name, k)
                stratum = None if shared is None else codes[shared]
                foreign.append(Concept(codes[k], factor.n_levels, stratum))
            matrix, centre = erasure_map(mean[:, at], foreign, own)
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

    def _fit_errors(
        self,
        work: PreparedAnnData,
        train_idx: NDArray[np.int64],
        val_idx: NDArray[np.int64],
    ) -> None:
        """Fit standard errors of numbers and temperatures of levels to the rows held out.

        Without any, errors are those of the training rows and probabilities stay as they are.
        """
        rows = val_idx if len(val_idx) else train_idx
        values, out = self._values(work)[rows], self._encode(work, rows)
        self.errors_, self.calibrations_ = {}, {}
        for k, factor in enumerate(self.factors):
            if factor.is_numeric:
                error = (out.scores[k][:, 0] - values[:, k])[np.isfinite(values[:, k])]
                self.errors_[factor.name] = float(np.sqrt(np.mean(error**2))) * factor.scale
            else:
                held_out = np.full(len(rows), len(val_idx) > 0)
                fitted = fit_calibration(out.scores[k], factor.codes(values[:, k]), held_out)
                self.calibrations_[factor.name] = fitted.to_dict()


def unweighted(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of rows for batches without a labelled half."""
    return np.zeros(len(rows))
