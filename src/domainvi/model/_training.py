"""Training of a model: audit, split, starting values, plan, and what is judged afterwards."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from domainvi.data import (
    TransferDataModule,
    audit_arrays,
    labelled_weights,
    stratified_split,
)
from domainvi.errors import InputError
from domainvi.module import EXTRA_DOMAINS_KEY
from domainvi.pretraining import start_classifier
from domainvi.train import (
    DomainTrainingPlan,
    Keeper,
    TrainingRows,
    class_support,
    initialise,
    is_distributed,
    log_rows,
    set_library,
    source_domains,
    subsample,
)

from ._codes import codes
from ._running import RunMixin, check_checkpoint_arguments
from ._target_training import TargetTrainingMixin

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

DEFAULT_EPOCHS = 20
TARGET_SHARE = 0.6
PRETRAINED_LR_FACTOR = 0.1


class TrainingMixin(RunMixin, TargetTrainingMixin):
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
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
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
        checkpoint_dir
            Folder for a checkpoint, replaced in one step between epochs; ``None`` writes none.
        checkpoint_every
            Epochs between checkpoints.
        resume
            Go on from the checkpoint in ``checkpoint_dir``, with the same data and arguments; from
            the start if there is none yet. On one CPU thread the weights become those of a
            training that was never interrupted, bit for bit, unless rows are read from a file
            as they are needed, since these are drawn anew.
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
            If an argument is out of range, before anything is changed, or if no gene varies.
        TrainingError
            If a loss becomes NaN or infinite: names the step, the rows and the term.
        ModelFileError
            If a checkpoint cannot be written, or is damaged.
        KeyboardInterrupt
            After Ctrl-C, which ends training after the current step.

        Notes
        -----
        After an interrupt, a numerical fault or a full disk the model has the weights of its best
        epoch, the one with the lowest loss of held-out rows, is judged with them and can be used.
        When no epoch was finished, an interrupted model keeps the weights that it had reached, and
        otherwise it is as it was before.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.is_trained
        True
        """
        check_training_arguments(
            DomainTrainingPlan, max_epochs, train_size, batch_size, plan_kwargs or {}
        )
        check_checkpoint_arguments(checkpoint_dir, checkpoint_every, resume)
        if self.targets and is_distributed(accelerator, devices, trainer_kwargs):
            # Processes wait for each other's figures, and a batch may have no value of a target.
            msg = (
                f"Models with target_keys are trained in one process; devices={devices!r} and "
                f"strategy={trainer_kwargs.get('strategy')!r} ask for several. Pass devices=1 and "
                "no strategy, or leave the targets out."
            )
            raise InputError(msg)
        work = self._validate_anndata()
        self._check_genes(work, "train")
        domain, label = codes(work.manager, REGISTRY_KEYS.BATCH_KEY), self._labels(work)
        is_source = source_domains(domain, label, len(self.domains))
        order = work.order
        split = stratified_split(domain[order], label[order], 1 - train_size, self.seed)
        train_idx, val_idx = order[split[0]], order[split[1]]
        max_epochs = DEFAULT_EPOCHS if max_epochs is None else max_epochs
        plan_arguments = self._align_as_audited(domain, label, force_alignment, plan_kwargs)
        arguments = {
            "max_epochs": max_epochs,
            "train_size": train_size,
            "batch_size": batch_size,
            "early_stopping": early_stopping,
            "force_alignment": force_alignment,
            "plan_kwargs": plan_arguments,
        }
        files = self._checkpoint_files(work, arguments, checkpoint_dir, resume)
        self.training_ = arguments
        if not self.is_scaled_:
            self._fit_scaling(work, is_source)
            if self.pretraining_:
                start_classifier(self, work)
        self._set_support(work, label)
        teacher = self._teacher(work) if self.module.linear.n_members else None

        def weigh(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return labelled_weights(domain[rows], label[rows], is_source, TARGET_SHARE)

        data = TransferDataModule(
            work.manager, train_idx, val_idx, weigh, batch_size, self.seed, teacher
        )
        plan = DomainTrainingPlan(self.module, n_steps=0, **plan_arguments)
        align = self.module.alignment.kind == "conditional" and plan.adversary_weight > 0

        def judge() -> None:
            if self.n_reference_domains_ is None:
                self._judge(domain, label, align=align)
                self._judge_targets(work)

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

    def _align_as_audited(
        self,
        domain: NDArray[np.int64],
        label: NDArray[np.int64],
        force: bool,
        plan_kwargs: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Audit the design; return the plan's arguments, with alignment off where refused."""
        arguments = dict(plan_kwargs or {})
        if self.pretraining_:
            arguments.setdefault("encoder_lr_factor", PRETRAINED_LR_FACTOR)
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
        order = work.order
        drawn = order[subsample(domain[order], label[order], self.seed)]
        set_library(self.module, work, drawn)
        anchor = initialise(
            self.module,
            self._starting_rows(work, drawn, is_source),
            self.scaling,
            keep_encoder=bool(self.pretraining_),
        )
        self.agreement_ = None if anchor is None else anchor.agreement
        if self.targets:
            self._fit_targets(work, self._starting_rows(work, drawn, is_source))
        self.is_scaled_ = True

    def _starting_rows(
        self, work: PreparedAnnData, drawn: NDArray[np.int64], is_source: NDArray[np.bool_]
    ) -> TrainingRows:
        """Read the rows from which starting values are estimated."""
        x = log_rows(self.module, work, drawn)
        if not np.ptp(x, axis=0).any():
            msg = (
                f"No gene differs between rows: all {len(x)} hold the same {x.shape[1]} values. "
                "Check which layer holds the expression values."
            )
            raise InputError(msg)
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)[drawn]
        return TrainingRows(x, domain, self._labels(work)[drawn], is_source, len(self.classes))

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
        teacher = np.empty((work.n_obs, len(self.classes)), dtype=np.float32)
        self.module.eval()
        for places, _, e, _ in self._embedded(work, work.order, None, wanted=()):
            teacher[work.order[places]] = np.exp(e.linear.cpu().numpy())
        return teacher


def check_training_arguments(
    plan: type[DomainTrainingPlan],
    max_epochs: int | None,
    train_size: float,
    batch_size: int,
    plan_kwargs: dict[str, Any],
) -> None:
    """Refuse numbers out of range, and arguments that the training plan does not have."""
    known = set(inspect.signature(plan).parameters) - {"module", "n_steps"}
    if unknown := sorted(set(plan_kwargs) - known):
        msg = f"plan_kwargs has {', '.join(unknown)}; it takes {', '.join(sorted(known))}."
        raise InputError(msg)
    for name, value, least in (("max_epochs", max_epochs, 1), ("batch_size", batch_size, 4)):
        if value is not None and (not isinstance(value, int) or value < least):
            msg = f"{name}={value!r} must be a whole number of at least {least}."
            raise InputError(msg)
    if not isinstance(train_size, (int, float)) or not 0 < train_size <= 1:
        msg = f"train_size={train_size!r} must be above 0 and at most 1."
        raise InputError(msg)
