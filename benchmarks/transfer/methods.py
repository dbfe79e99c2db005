"""Every method as one call: a unit and a seed in, class probabilities of every row out."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from benchmarks.transfer.units import UNLABELED, Unit
from domainvi.data import log_normalize, prepare_values, variable_genes
from domainvi.tl import BASELINES, TransferData

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

    Method = Callable[[Unit, int], NDArray[np.float64]]

_SCANVI_EPOCHS = 400
_SCANVI_STEPS = 2000
_BATCH = 128
_LOG_VALUES = {"gene_likelihood": "normal", "log_variational": False}


def classical(unit: Unit, seed: int, *, name: str) -> NDArray[np.float64]:
    """Run one of :data:`domainvi.tl.BASELINES`."""
    data = TransferData(
        x=prepare_values(unit.adata.X, unit.domain, counts=unit.counts),
        domain=unit.domain,
        label=unit.label,
        is_source=unit.is_source,
        n_classes=len(unit.classes),
    )
    return BASELINES[name](data, seed=seed)


def domainvi(
    unit: Unit,
    seed: int,
    *,
    model_kwargs: Mapping[str, Any] | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
) -> NDArray[np.float64]:
    """Run DomainVI through its public interface."""
    from domainvi import DomainVI

    _prepare_torch(seed)
    quiet: dict[str, Any] = {"enable_progress_bar": False, "accelerator": "cpu"}
    work = unit.adata.copy()
    DomainVI.setup_anndata(
        work, batch_key="domain", labels_key="label", unlabeled_category=UNLABELED
    )
    model = DomainVI(work, seed=seed, **(model_kwargs or {}))
    model.train(**quiet, **(train_kwargs or {}))
    return _columns(model.predict(soft=True), unit)


def scanvi(unit: Unit, seed: int, *, adversarial: bool = False) -> NDArray[np.float64]:
    """Run SCANVI on up to 2,000 variable genes, with scvi-tools' defaults.

    Counts get the default likelihood. Log values get a normal one, no further logarithm, and a
    shift to a minimum of 0, since SCANVI takes the logarithm of the sum of a row. The number of
    epochs is scvi-tools' own (400 for small data), cut to at most about 2,000 steps.

    Parameters
    ----------
    unit
        What to run on.
    seed
        Of the initialisation.
    adversarial
        Whether to use the semi-supervised adversarial training plan of scvi-tools, with weight 1.
    """
    from scvi.model import SCANVI
    from scvi.train import SemiSupervisedAdversarialTrainingPlan

    class Adversarial(SCANVI):
        _training_plan_cls = SemiSupervisedAdversarialTrainingPlan

    _prepare_torch(seed)
    work = _variable(unit)
    model_class = Adversarial if adversarial else SCANVI
    model_class.setup_anndata(
        work, batch_key="domain", labels_key="label", unlabeled_category=UNLABELED
    )
    model = model_class(work, **({} if unit.counts else _LOG_VALUES))
    batch_size = _batch_size(unit)
    model.train(
        max_epochs=_scanvi_epochs(work.n_obs, batch_size),
        train_size=1.0,
        batch_size=batch_size,
        plan_kwargs={"scale_adversarial_loss": 1.0} if adversarial else None,
        enable_progress_bar=False,
        accelerator="cpu",
    )
    return _columns(model.predict(soft=True), unit)


def _variable(unit: Unit) -> AnnData:
    values = log_normalize(unit.adata.X) if unit.counts else unit.adata.X
    work = unit.adata[:, variable_genes(values, unit.domain)].copy()
    if not unit.counts:
        dense = work.X.toarray() if sp.issparse(work.X) else np.asarray(work.X)
        work.X = (dense - dense.min()).astype(np.float32)
    return work


def _scanvi_epochs(n_rows: int, batch_size: int) -> int:
    steps_an_epoch = int(np.ceil(n_rows / batch_size))
    return max(1, min(_SCANVI_EPOCHS, _SCANVI_STEPS // steps_an_epoch))


def _batch_size(unit: Unit) -> int:
    """Return scvi-tools' 128, or more where a last batch of one row would stop batch norm."""
    sizes = (unit.label.size, int((unit.label >= 0).sum()), int((unit.label < 0).sum()))
    return next(b for b in range(_BATCH, 2 * _BATCH) if all(n % b != 1 for n in sizes))


def _prepare_torch(seed: int) -> None:
    import torch
    from lightning.pytorch import seed_everything

    torch.set_num_threads(1)
    seed_everything(seed, verbose=False)


def _columns(soft: Any, unit: Unit) -> NDArray[np.float64]:
    return np.asarray(soft.reindex(columns=list(unit.classes), fill_value=0.0), dtype=np.float64)


# The network alone on per-cohort z-scores, without linear members: the ingredients of the recipe.
_NETWORK = {"scaling": "domain"}
_BF16 = {"precision": "bf16-mixed"}
_PAPER_WEIGHT = {"plan_kwargs": {"adversary_weight": 1.0}}


def _ingredient(adversary: str, train_kwargs: dict[str, Any] | None = None) -> Method:
    model_kwargs = {**_NETWORK, "adversary": adversary}
    return functools.partial(domainvi, model_kwargs=model_kwargs, train_kwargs=train_kwargs)


METHODS: dict[str, Method] = {
    **{name: functools.partial(classical, name=name) for name in BASELINES},
    "scanvi": scanvi,
    "scanvi_adversarial": functools.partial(scanvi, adversarial=True),
    "domainvi": domainvi,
    "domainvi_bf16": functools.partial(domainvi, train_kwargs=_BF16),
    "network": _ingredient("none"),
    "network_conditional": _ingredient("conditional"),
    "network_marginal": _ingredient("marginal"),
    "network_wasserstein": _ingredient("wasserstein", _PAPER_WEIGHT),
    "network_bf16": _ingredient("conditional", _BF16),
}
CLASSICAL = tuple(BASELINES)
