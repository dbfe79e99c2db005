"""Training of a model: audit, split, starting values, plan, and what is judged afterwards."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from scvi.train import TrainRunner

from domainvi.data import (
    TransferDataModule,
    audit_arrays,
    labelled_weights,
    stratified_split,
)
from domainvi.errors import InputError
from domainvi.module import EXTRA_DOMAINS_KEY
from domainvi.train import (
    DomainTrainingPlan,
    TrainingRows,
    class_support,
    initialise,
    log_rows,
    set_library,
    source_domains,
    subsample,
    trainer_arguments,
)

from ._codes import codes
from ._judgement import JudgementMixin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

DEFAULT_EPOCHS = 20
TARGET_SHARE = 0.6


class TrainingMixin(JudgementMixin):
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
        is trained, and what says how far to trust it is fitted: temperature, unknown score, guard.

        Parameters
        ----------
        max_epochs
            Passes over the training rows; an epoch has at least 20 steps. 20 by default.
        accelerator, devices
            As for :class:`lightning.pytorch.Trainer`.
        train_size
            Share of rows to train on; the others are held out, stratified by domain and class.
        batch_size
            Rows a step on each device: half of them labelled, with classes and domains balanced.
        early_stopping
            Stop when the loss of held-out rows has not improved for 10 epochs.
        force_alignment
            Align domains even where the audit refuses.
        plan_kwargs
            Arguments of :class:`~domainvi.train.DomainTrainingPlan`: learning rate and weights of
            the terms.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`, ``enable_progress_bar`` for instance, or
            ``strategy="ddp"`` to train on several devices; ``precision="bf16-mixed"`` is allowed.

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
        check_training_arguments(max_epochs, train_size, batch_size, plan_kwargs or {})
        work = self._validate_anndata()
        domain, label = codes(work.manager, REGISTRY_KEYS.BATCH_KEY), self._labels(work)
        is_source = source_domains(domain, label, len(self.domains))
        train_idx, val_idx = stratified_split(domain, label, 1 - train_size, self.seed)
        plan_arguments = self._align_as_audited(domain, label, force_alignment, plan_kwargs)
        if not self.is_scaled_:
            self._fit_scaling(work, is_source)
        self._set_support(work, label)
        teacher = self._teacher(work) if self.module.linear.n_members else None

        def weigh(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return labelled_weights(domain[rows], label[rows], is_source, TARGET_SHARE)

        data = TransferDataModule(
            work.manager, train_idx, val_idx, weigh, batch_size, self.seed, teacher
        )
        max_epochs = DEFAULT_EPOCHS if max_epochs is None else max_epochs
        plan = DomainTrainingPlan(self.module, n_steps=0, **plan_arguments)
        stopping = early_stopping and len(val_idx) > 0
        runner = TrainRunner(
            self,
            training_plan=plan,
            data_splitter=data,
            max_epochs=max_epochs,
            **trainer_arguments(accelerator, devices, stopping, trainer_kwargs),
        )
        data.sampler.share_among(runner.trainer.num_devices * runner.trainer.num_nodes)
        plan.n_steps = max_epochs * len(data.sampler)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            runner()
        if self.n_reference_domains_ is None:
            align = self.module.alignment.kind == "conditional" and plan.adversary_weight > 0
            self._judge(domain, label, align=align)

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
        set_library(self.module, work, drawn)
        x = log_rows(self.module, work, drawn)
        rows = TrainingRows(x, domain[drawn], label[drawn], is_source, len(self.classes))
        anchor = initialise(self.module, rows, self.scaling)
        self.agreement_ = None if anchor is None else anchor.agreement
        self.is_scaled_ = True

    def _set_support(self, work: PreparedAnnData, label: NDArray[np.int64]) -> None:
        """Tell the adversary of each domain column which classes its domains have."""
        columns = [codes(work.manager, REGISTRY_KEYS.BATCH_KEY)]
        if EXTRA_DOMAINS_KEY in work.manager.data_registry:
            columns += list(np.asarray(work.manager.get_from_registry(EXTRA_DOMAINS_KEY)).T)
        for i, (column, n) in enumerate(zip(columns, self.module.n_domains, strict=True)):
            support = class_support(column.astype(np.int64), label, n, len(self.classes))
            self.module.alignment.set_support(i, torch.from_numpy(support))

    def _teacher(self, work: PreparedAnnData) -> NDArray[np.float32]:
        """Class probabilities of the linear members for all rows, ``(n_rows, n_classes)``."""
        return np.exp(self._forward(work, None, None, with_reference=False).linear)


def check_training_arguments(
    max_epochs: int | None, train_size: float, batch_size: int, plan_kwargs: dict[str, Any]
) -> None:
    """Refuse numbers out of range, and arguments that the training plan does not have."""
    known = set(inspect.signature(DomainTrainingPlan).parameters) - {"module", "n_steps"}
    if unknown := sorted(set(plan_kwargs) - known):
        msg = f"plan_kwargs has {', '.join(unknown)}; it takes {', '.join(sorted(known))}."
        raise InputError(msg)
    if max_epochs is not None and max_epochs < 1:
        msg = f"max_epochs={max_epochs!r} must be at least 1."
        raise InputError(msg)
    if not 0 < train_size <= 1:
        msg = f"train_size={train_size!r} must be above 0 and at most 1."
        raise InputError(msg)
    if batch_size < 4:
        msg = f"batch_size={batch_size!r} must be at least 4."
        raise InputError(msg)
