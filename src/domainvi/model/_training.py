"""Training of a model: audit, split, starting values, plan, and what is judged afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS
from scvi.data.fields import NumericalJointObsField
from scvi.train import TrainRunner

from domainvi.data import (
    TransferDataModule,
    audit_arrays,
    labelled_weights,
    row_loader,
    stratified_split,
)
from domainvi.errors import InputError
from domainvi.module import EXTRA_DOMAINS_KEY, TEACHER_KEY
from domainvi.train import (
    DomainTrainingPlan,
    TrainingRows,
    class_support,
    fit_centring,
    initialise,
    library_sizes,
    log_rows,
    source_domains,
    subsample,
)

from ._codes import codes
from ._inference import InferenceMixin
from ._judgement import fit_calibration, fit_unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

DEFAULT_EPOCHS = 20
PATIENCE = 10
TARGET_SHARE = 0.6


class TrainingMixin(InferenceMixin):
    """``train`` for models on prepared data."""

    def train(
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float = 0.9,
        batch_size: int = 128,
        early_stopping: bool = True,
        force_alignment: bool = False,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model.

        The design is audited first: when classes and domains are confounded, nothing is aligned
        unless ``force_alignment`` is set. Input scaling and linear members are fitted, the network
        is trained, and probabilities and the unknown score are calibrated on rows that were held
        out.

        Parameters
        ----------
        max_epochs
            Passes over the training rows; an epoch has at least 20 steps. 20 by default.
        accelerator, devices
            As for :class:`lightning.pytorch.Trainer`.
        train_size
            Share of rows to train on; the others are held out, stratified by domain and class.
        batch_size
            Rows a step: half of them labelled, with classes and domains balanced.
        early_stopping
            Stop when the loss of held-out rows has not improved for 10 epochs.
        force_alignment
            Align domains even where the audit refuses.
        plan_kwargs
            Arguments of :class:`~domainvi.train.DomainTrainingPlan`: learning rate and weights of
            the terms.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`, ``enable_progress_bar`` for instance.

        Returns
        -------
        Nothing. Losses of each epoch are in ``model.history``, with the accuracy of the domain
        head beside its chance level.

        Raises
        ------
        InputError
            If an argument is out of range, before anything is changed.
        TrainingError
            If a loss becomes NaN or infinite.
        """
        check_training_arguments(max_epochs, train_size, batch_size)
        work = self._validate_anndata()
        domain, label = codes(work.manager, REGISTRY_KEYS.BATCH_KEY), self._labels(work)
        is_source = source_domains(domain, label, len(self.domains))
        train_idx, val_idx = stratified_split(domain, label, 1 - train_size, self.seed)
        plan_arguments = self._align_as_audited(domain, label, force_alignment, plan_kwargs)
        if not self.is_scaled_:
            self._fit_scaling(work, is_source)
        self._set_support(work, label)
        if self.module.linear.n_members and TEACHER_KEY not in work.manager.data_registry:
            names = [f"{TEACHER_KEY}_{k}" for k in range(len(self.classes))]
            work.obs[names] = self._teacher(work)
            work.manager.register_new_fields([NumericalJointObsField(TEACHER_KEY, names)])
        weight = labelled_weights(domain[train_idx], label[train_idx], is_source, TARGET_SHARE)
        data = TransferDataModule(work.manager, train_idx, val_idx, weight, batch_size, self.seed)
        max_epochs = DEFAULT_EPOCHS if max_epochs is None else max_epochs
        plan = DomainTrainingPlan(
            self.module, n_steps=max_epochs * len(data.sampler), **plan_arguments
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
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            runner()
        align = self.module.alignment.kind == "conditional" and plan.adversary_weight > 0
        self._judge(domain, label, align=align)
        self._record_guard(domain, label)

    def _align_as_audited(
        self,
        domain: NDArray[np.int64],
        label: NDArray[np.int64],
        force: bool,
        plan_kwargs: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Audit the design; return the plan's arguments, with alignment off where refused."""
        arguments = dict(plan_kwargs or {})
        if len(np.unique(domain)) < 2 or not (label >= 0).any():
            return arguments
        audit = audit_arrays(domain, label, domain_names=self.domains, class_names=self.classes)
        self.audit_ = audit.to_dict()
        self.guard_ = {"alignment": "as set up", "reason": audit.sentence}
        if audit.verdict == "refused" and not force and self.module.alignment.kind != "none":
            arguments["adversary_weight"] = 0.0
            self.guard_["alignment"] = "off"
        return arguments

    def _fit_scaling(self, work: PreparedAnnData, is_source: NDArray[np.bool_]) -> None:
        domain, label = codes(work.manager, REGISTRY_KEYS.BATCH_KEY), self._labels(work)
        drawn = subsample(domain, label, self.seed)
        sizes = library_sizes(work, drawn)
        self.module.target_sum.fill_(
            float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 1.0
        )
        x = log_rows(self.module, work, drawn)
        rows = TrainingRows(x, domain[drawn], label[drawn], is_source, len(self.classes))
        initialise(self.module, rows, self.scaling)
        self.is_scaled_ = True

    def _set_support(self, work: PreparedAnnData, label: NDArray[np.int64]) -> None:
        """Tell the adversary of each domain column which classes its domains have."""
        columns = [codes(work.manager, REGISTRY_KEYS.BATCH_KEY)]
        if EXTRA_DOMAINS_KEY in work.manager.data_registry:
            columns += list(np.asarray(work.manager.get_from_registry(EXTRA_DOMAINS_KEY)).T)
        for i, (column, n) in enumerate(zip(columns, self.module.n_domains, strict=True)):
            support = class_support(column.astype(np.int64), label, n, len(self.classes))
            self.module.alignment.set_support(i, torch.from_numpy(support))

    @torch.inference_mode()
    def _teacher(self, work: PreparedAnnData) -> NDArray[np.float32]:
        """Class probabilities of the linear members for all rows, ``(n_rows, n_classes)``."""
        loader = row_loader(work.manager, None, 2048)
        self.module.eval()
        parts = [self.module.embed(**self.module._get_inference_input(t)).linear for t in loader]
        return torch.exp(torch.cat(parts)).cpu().numpy()

    def _judge(self, domain: NDArray[np.int64], label: NDArray[np.int64], *, align: bool) -> None:
        """Centre the latents, and fit what says how far predictions can be trusted."""
        if not (label >= 0).any():
            return
        work = self._validate_anndata()
        out = self._forward(work, None, None)
        if align:
            p = np.exp(out.logits.astype(np.float64))
            self.centring_ = fit_centring(out.mean, p, domain, len(self.domains))
            out = self._centred(out, domain)
        held_out = np.zeros(len(label), dtype=bool)
        held_out[self.validation_indices] = True
        self.calibration_ = fit_calibration(out.logits, label, held_out)
        self.unknown_ = fit_unknown(out, label, domain, self.seed)

    def _record_guard(self, domain: NDArray[np.int64], label: NDArray[np.int64]) -> None:
        """Say what the guard decided and on what evidence, and audit again with predictions."""
        doubt = float(self.module.linear.doubt)
        self.guard_["twin_share"] = doubt
        self.guard_["evidence"] = (
            f"Readings of the target by its own rows and by the source's agree at {1 - doubt:.2f} "
            "(Cohen's kappa); the un-adapted twin has the remaining share of the linear vote."
        )
        mix = np.exp(self.module.log_prior.cpu().numpy()) / len(self.classes)
        self.guard_["class_mix"] = mix / mix.sum(axis=1, keepdims=True)
        if self.history_ is not None and "train_loss" in self.history_:
            index = self.history_["train_loss"].index[-1:]
            self.history_["guard_twin_share"] = pd.DataFrame({"guard_twin_share": [doubt]}, index)
        self._model_summary_string = (
            f"{self._model_summary_string.split(', guard')[0]}, guard: alignment "
            f"{self.guard_.get('alignment', 'as set up')}, twin share {doubt:.2f}"
        )
        if self.audit_ and len(np.unique(domain)) > 1:
            predicted = self._forward(self._validate_anndata(), None, None).logits.argmax(axis=1)
            after = audit_arrays(
                domain,
                label,
                predicted=predicted,
                domain_names=self.domains,
                class_names=self.classes,
            )
            self.audit_["with_predictions"] = after.to_dict()


def check_training_arguments(max_epochs: int | None, train_size: float, batch_size: int) -> None:
    """Refuse numbers out of range."""
    if max_epochs is not None and max_epochs < 1:
        msg = f"max_epochs={max_epochs!r} must be at least 1."
        raise InputError(msg)
    if not 0 < train_size <= 1:
        msg = f"train_size={train_size!r} must be above 0 and at most 1."
        raise InputError(msg)
    if batch_size < 4:
        msg = f"batch_size={batch_size!r} must be at least 4."
        raise InputError(msg)
