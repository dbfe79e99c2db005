"""Training of DomainVI: audit, split, starting values, plan, and the fits afterwards."""

from __future__ import annotations

import inspect
import logging
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from domainvi.data import (
    SMALLEST_CAP,
    TransferDataModule,
    check_split,
    hide_test_rows,
    labelled_weights,
    split_arguments,
    split_rows,
)
from domainvi.errors import InputError
from domainvi.linear import (
    class_support,
    source_domains,
)
from domainvi.module import EXTRA_DOMAINS_KEY
from domainvi.train import (
    BestWeights,
    DomainTrainingPlan,
    check_trainer_arguments,
    is_distributed,
)
from domainvi.trust import GuardRecord, audit_arrays

from ._inference import labels_of
from ._phenotypes import fit_phenotypes_posthoc
from ._posthoc import fit_posthoc
from ._running import checkpoint_files, run_training
from ._starting import fit_starting_values, linear_probabilities

if TYPE_CHECKING:
    import os

    from lightning.pytorch import LightningModule
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._domainvi import DomainVI

logger = logging.getLogger(__name__)

# Passes over the rows: as many as give this many rows, between the least and the most.
LEAST_EPOCHS, MOST_EPOCHS, ROWS_OF_TRAINING = 2, 20, 300_000
TARGET_SHARE = 0.6
PRETRAINED_LR_FACTOR = 0.1


def train(
    model: DomainVI,
    max_epochs: int | None,
    accelerator: str,
    devices: int | list[int] | str,
    *,
    train_size: float,
    validation_size: float | None,
    batch_size: int,
    early_stopping: bool,
    force_alignment: bool,
    datasplitter_kwargs: dict[str, Any] | None,
    plan_kwargs: dict[str, Any] | None,
    checkpoint_dir: str | os.PathLike[str] | None,
    checkpoint_every: int,
    resume: bool,
    trainer_kwargs: dict[str, Any],
) -> None:
    """Train a model; see :meth:`domainvi.DomainVI.train`."""
    check_split(train_size, validation_size, datasplitter_kwargs)
    check_training_arguments(DomainTrainingPlan, max_epochs, batch_size, plan_kwargs or {})
    check_trainer_arguments(
        accelerator, devices, trainer_kwargs, checkpoint_dir, checkpoint_every, resume
    )
    if model.phenotypes:
        check_one_process(accelerator, devices, trainer_kwargs)
    prepared = model._validate_anndata()
    model._check_genes(prepared, "train")
    prepared.hidden = None
    label = labels_of(model, prepared)
    rows = split_rows(prepared, label, train_size, validation_size, datasplitter_kwargs, model.seed)
    if len(rows.test):
        refuse_phenotypes(model, len(rows.test))
        hide_test_rows(prepared, label, rows)
    domain, label, order = prepared.domain, labels_of(model, prepared), prepared.order
    is_source = source_domains(domain, label, len(model.domains))
    align = audit_design(model, prepared, force=force_alignment)
    arguments: dict[str, Any] = {
        "max_epochs": default_epochs(len(order)) if max_epochs is None else int(max_epochs),
        "train_size": float(train_size),
        "batch_size": int(batch_size),
        "early_stopping": early_stopping,
        "force_alignment": force_alignment,
        "plan_kwargs": plan_arguments(model, plan_kwargs, align=align),
    }
    if validation_size is not None or datasplitter_kwargs:
        arguments |= split_arguments(validation_size, datasplitter_kwargs)
    if batch_size > max(len(order), SMALLEST_CAP):
        logger.warning(
            "batch_size=%d is above the %d rows there are; batches have these rows.",
            batch_size,
            len(order),
        )
    files = None
    if checkpoint_dir is not None:
        files = checkpoint_files(model, prepared, arguments, checkpoint_dir, resume)
    model.fitted.training = arguments
    if not model.fitted.is_scaled:
        fit_starting_values(model, prepared)
    set_support(model, prepared, label)
    teacher = linear_probabilities(model, prepared) if model.module.modalities.n_members else None
    data = TransferDataModule(
        prepared.manager,
        *rows[:2],
        lambda rows: labelled_weights(domain[rows], label[rows], is_source, TARGET_SHARE),
        batch_size,
        model.seed,
        teacher,
    )
    data.test_idx = rows.test
    plan = DomainTrainingPlan(model.module, n_steps=0, **arguments["plan_kwargs"])
    centre = model.module.alignment.kind == "conditional" and plan.adversary_weight > 0

    def posthoc() -> None:
        if model.fitted.n_reference_domains is None:
            fit_posthoc(model, prepared, centre=centre)
            if model.phenotypes:
                fit_phenotypes_posthoc(model, prepared)

    run_training(
        model,
        plan,
        data,
        BestWeights(data, checkpoint_dir, checkpoint_every),
        posthoc,
        max_epochs=arguments["max_epochs"],
        warmup_epochs=default_epochs(len(order)),
        early_stopping=early_stopping,
        files=files,
        accelerator=accelerator,
        devices=devices,
        trainer_kwargs=trainer_kwargs,
    )


def refuse_phenotypes(model: DomainVI, n_test: int) -> None:
    """Refuse a test, whose values of auxiliary phenotypes would be read."""
    if model.phenotypes:
        msg = (
            f"{n_test} rows are of neither training nor validation, and models with target_keys "
            "learn from all rows. Set values of these rows to missing instead."
        )
        raise InputError(msg)


def default_epochs(n_rows: int) -> int:
    """20 passes over up to 15,000 rows, then fewer, so that 300,000 rows pass, but at least 2."""
    return int(np.clip(round(ROWS_OF_TRAINING / n_rows), LEAST_EPOCHS, MOST_EPOCHS))


def audit_design(model: DomainVI, prepared: PreparedAnnData, *, force: bool) -> bool:
    """Audit the design; whether the guard leaves alignment on, which the audit may refuse."""
    domain, label = prepared.domain, labels_of(model, prepared)
    if len(model.domains) == 1:
        model.fitted.guard = GuardRecord("off", "There is one cohort, and nothing to align.")
        return False
    if len(np.unique(domain)) < 2 or not (label >= 0).any():
        return True
    audit = audit_arrays(
        domain,
        label,
        coarse=prepared.coarse,
        domain_names=model.domains,
        class_names=model.classes,
    )
    allowed = force or audit.verdict != "refused" or model.module.alignment.kind == "none"
    model.fitted.audit = audit
    model.fitted.guard = GuardRecord("as set up" if allowed else "off", audit.sentence)
    return allowed


def plan_arguments(
    model: DomainVI, plan_kwargs: dict[str, Any] | None, *, align: bool
) -> dict[str, Any]:
    """Arguments of the training plan, with the adversary off where nothing is to be aligned."""
    arguments = dict(plan_kwargs or {})
    if model.fitted.pretraining is not None:
        arguments.setdefault("encoder_lr_factor", PRETRAINED_LR_FACTOR)
    if not align:
        arguments["adversary_weight"] = 0.0
    return arguments


def set_support(model: DomainVI, prepared: PreparedAnnData, label: NDArray[np.int64]) -> None:
    """Tell the adversary of each domain column which classes its domains have."""
    module, columns = model.module, [prepared.domain]
    if EXTRA_DOMAINS_KEY in prepared.manager.data_registry:
        columns += list(np.asarray(prepared.manager.get_from_registry(EXTRA_DOMAINS_KEY)).T)
    for i, (column, n) in enumerate(zip(columns, module.n_domains, strict=True)):
        support = class_support(column.astype(np.int64), label, n, len(model.classes))
        module.alignment.get_buffer(f"support_{i}").copy_(torch.from_numpy(support))


def check_one_process(
    accelerator: str, devices: int | list[int] | str, trainer_kwargs: dict[str, Any]
) -> None:
    """Refuse several processes to auxiliary phenotypes: a batch may have no value of one."""
    if is_distributed(accelerator, devices, trainer_kwargs):
        msg = (
            f"Models with target_keys are trained in one process; devices={devices!r} and "
            f"strategy={trainer_kwargs.get('strategy')!r} ask for several. Pass devices=1 and "
            "no strategy, or leave the targets out."
        )
        raise InputError(msg)


def check_training_arguments(
    plan: type[LightningModule],
    max_epochs: int | None,
    batch_size: int,
    plan_kwargs: dict[str, Any],
) -> None:
    """Refuse numbers out of range, and arguments that the training plan does not have."""
    known = set(inspect.signature(plan).parameters) - {"module", "n_steps"}
    if unknown := sorted(set(plan_kwargs) - known):
        msg = f"plan_kwargs has {', '.join(unknown)}; it takes {', '.join(sorted(known))}."
        raise InputError(msg)
    for name, value, least in (("max_epochs", max_epochs, 1), ("batch_size", batch_size, 4)):
        if value is not None and (not isinstance(value, Integral) or value < least):
            msg = f"{name}={value!r} must be a whole number of at least {least}."
            raise InputError(msg)
