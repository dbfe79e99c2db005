"""Training of DisentangledVI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from domainvi.data import TransferDataModule, stratified_split
from domainvi.train import (
    Concept,
    DisentangledTrainingPlan,
    Keeper,
    erasure_map,
    log_rows,
    set_library,
    start_disentangled,
    subsample,
)

from ._judgement import fit_calibration
from ._running import RunMixin, check_checkpoint_arguments
from ._subspaces import SubspaceMixin
from ._training import check_training_arguments

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

DEFAULT_EPOCHS = 40


class DisentangledTrainingMixin(SubspaceMixin, RunMixin):
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
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
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
        checkpoint_dir, checkpoint_every, resume
            As for :meth:`domainvi.DomainVI.train`.
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
        ModelFileError
            If a checkpoint cannot be written, or is damaged.
        KeyboardInterrupt
            After Ctrl-C, which ends training after the current step; the model has the weights of
            its best epoch and can be used.

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
        plan_arguments = {**(plan_kwargs or {})}
        check_training_arguments(
            DisentangledTrainingPlan, max_epochs, train_size, batch_size, plan_arguments
        )
        check_checkpoint_arguments(checkpoint_dir, checkpoint_every, resume)
        work = self._validate_anndata()
        self._check_genes(work, "train")
        order = work.order
        domain, label = (codes[order] for codes in self._strata(work))
        split = stratified_split(domain, label, 1 - train_size, self.seed)
        train_idx, val_idx = order[split[0]], order[split[1]]
        max_epochs = DEFAULT_EPOCHS if max_epochs is None else max_epochs
        arguments = {
            "max_epochs": max_epochs,
            "train_size": train_size,
            "batch_size": batch_size,
            "early_stopping": early_stopping,
            "plan_kwargs": plan_arguments,
        }
        files = self._checkpoint_files(work, arguments, checkpoint_dir, resume)
        self.training_ = arguments
        self._reset_erasure()
        if not self.is_scaled_:
            drawn = order[subsample(domain, label, self.seed)]
            set_library(self.module, work, drawn)
            start_disentangled(self.module, log_rows(self.module, work, drawn))
            self.is_scaled_ = True
        data = TransferDataModule(
            work.manager, train_idx, val_idx, unweighted, batch_size, self.seed
        )
        plan = DisentangledTrainingPlan(self.module, n_steps=0, **plan_arguments)

        def judge() -> None:
            if plan.adversary_weight > 0 and self.module.alignment.kind != "none":
                self._fit_erasure(work)
            self._fit_priors(work)
            self._fit_errors(work, train_idx, val_idx)

        self._run(
            plan,
            data,
            Keeper(data, checkpoint_dir, checkpoint_every),
            judge,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            files=files,
            accelerator=accelerator,
            devices=devices,
            trainer_kwargs=trainer_kwargs,
        )

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
        self, work: PreparedAnnData, train_idx: NDArray[np.int64], val_idx: NDArray[np.int64]
    ) -> None:
        """Fit standard errors of numbers and temperatures of levels to the rows held out.

        Where none has a value, errors are those of the training rows and probabilities stay as
        they are.
        """
        values, scores = self._values(work), self._encode(work).scores
        self.errors_, self.calibrations_ = {}, {}
        for k, factor in enumerate(self.factors):
            if factor.is_numeric:
                error = scores[k][:, 0] - values[:, k]
                held_out = error[val_idx][np.isfinite(error[val_idx])]
                used = held_out if held_out.size else error[train_idx]
                self.errors_[factor.name] = float(np.sqrt(np.nanmean(used**2))) * factor.scale
            else:
                is_held_out = np.isin(np.arange(len(values)), val_idx)
                fitted = fit_calibration(scores[k], factor.codes(values[:, k]), is_held_out)
                self.calibrations_[factor.name] = fitted.to_dict()


def unweighted(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of rows for batches without a labelled half."""
    return np.zeros(len(rows))
