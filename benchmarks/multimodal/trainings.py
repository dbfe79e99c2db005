"""One training with one cancer left out, and the rows of the table that it gives."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import mudata
import numpy as np
from mudata import MuData
from torch.nn import functional

import domainvi as dv
from domainvi.model._inference import forward, outputs
from domainvi.module import Modalities, _modalities
from domainvi.tl import TransferData, lr_z

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    Predictions = dict[str, NDArray[np.float64]]

FILE = "tcga_paired_rna_mirna.h5mu"
NAMES = ("rna", "mirna")
CLASSES = ["normal", "tumor"]
# With fewer rows of a class, a cancer is a source only.
MIN_ROWS = 5


def read(data: Path) -> MuData:
    """Read the paired cohorts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.read_h5mu(data / FILE)


def targets(mdata: MuData) -> list[str]:
    """Cancers that have both classes."""
    count = mdata.obs.groupby(["cohort", "label"], observed=False).size().unstack()
    return sorted(count.index[(count >= MIN_ROWS).all(axis=1)])


def hide(mdata: MuData, target: str, missing: str | None = None) -> MuData:
    """Hide the labels of one cancer, and take one modality from its rows.

    Parameters
    ----------
    mdata
        All cohorts, paired.
    target
        The cancer.
    missing
        The modality, if any.
    """
    obs = mdata.obs[["cohort", "label"]].astype(str)
    is_target = (obs["cohort"] == target).to_numpy()
    out = MuData(
        {name: mdata[name][~is_target if name == missing else slice(None)].copy() for name in NAMES}
    )
    out.obs = obs.assign(label=np.where(is_target, "Unknown", obs["label"])).loc[out.obs_names]
    return out


def train(mdata: MuData, seed: int, modalities: str | None = None) -> dv.DomainVI:
    """Train with everything as it comes."""
    dv.DomainVI.setup_mudata(mdata, "cohort", "label", modalities=modalities)
    model = dv.DomainVI(mdata, seed=seed)
    model.train(enable_progress_bar=False)
    return model


def probabilities(model: dv.DomainVI, target: str, *visible: bool) -> NDArray[np.float64]:
    """Probabilities of the left-out rows, by some of their modalities."""
    rows = model.adata.obs["cohort"].to_numpy() == target
    if not visible:
        return model.predict(indices=rows, soft=True)[CLASSES].to_numpy()
    with model.module.modalities.looking_at(visible):
        out = outputs(model, None, rows)
    p = np.exp(out.logits.astype(np.float64))
    return p / p.sum(axis=1, keepdims=True)


def joint(mdata: MuData, target: str, seed: int) -> Predictions:
    """Both modalities in training; either or both to predict from."""
    model = train(hide(mdata, target), seed)
    rows = model.adata[model.adata.obs["cohort"] == target].copy()
    alone = {}
    for name in NAMES:
        query = MuData({name: rows[name].copy()})
        query.obs = rows.obs
        alone[name] = model.predict(query, soft=True)[CLASSES].to_numpy()
    return {"both": probabilities(model, target), **alone}


def members(mdata: MuData, target: str, seed: int) -> Predictions:
    """Predict by the linear members of ``joint`` alone, which need no training of the network."""
    hidden = hide(mdata, target)
    dv.DomainVI.setup_mudata(hidden, "cohort", "label")
    model = dv.DomainVI(hidden, seed=seed)
    prepared = model._validate_anndata()
    model._fit_starting_values(prepared)
    rows = np.flatnonzero(hidden.obs["cohort"].to_numpy() == target)
    out = {}
    for name, visible in {"both": (1, 1), "rna": (1, 0), "mirna": (0, 1)}.items():
        with model.module.modalities.looking_at(visible):
            out[name] = np.exp(forward(model, prepared, rows).linear.astype(np.float64))
    return {name: p / p.sum(axis=1, keepdims=True) for name, p in out.items()}


def mixture(mdata: MuData, target: str, seed: int) -> Predictions:
    """As ``joint``, with a mixture of experts (Shi et al., NeurIPS 2019) for the product.

    In training the latents of a row are drawn from one of its modalities; what is predicted from
    is the mean of the mixture.
    """
    initialise, product = Modalities.__init__, _modalities.product_of_experts

    def as_mixture(self: Modalities, *args: object) -> None:
        initialise(self, *args)
        self.alone = 1.0

    Modalities.__init__, _modalities.product_of_experts = as_mixture, mixture_of_experts
    try:
        return joint(mdata, target, seed)
    finally:
        Modalities.__init__, _modalities.product_of_experts = initialise, product


def mixture_of_experts(
    mean: torch.Tensor, variance: torch.Tensor, present: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Match the moments of a mixture in equal parts; shapes as for the product of experts."""
    share = functional.normalize(present.T[..., None].to(mean), p=1, dim=0)
    centre = (share * mean).sum(dim=0)
    return centre, (share * (variance + mean.square())).sum(dim=0) - centre.square()


def single(name: str) -> Callable[[MuData, str, int], Predictions]:
    """One modality, as a model of its own."""

    def training(mdata: MuData, target: str, seed: int) -> Predictions:
        return {name: probabilities(train(hide(mdata, target), seed, name), target)}

    return training


def target_lacks(missing: str) -> Callable[[MuData, str, int], Predictions]:
    """Both modalities in the other cancers; the left-out one was never measured by one of them."""
    (left,) = set(NAMES) - {missing}

    def training(mdata: MuData, target: str, seed: int) -> Predictions:
        return {left: probabilities(train(hide(mdata, target, missing), seed), target)}

    return training


def logistic(mdata: MuData, target: str, seed: int) -> Predictions:
    """Logistic regression on each cohort's z-scores of log counts per million."""
    x = {name: log_cpm(mdata[name].X) for name in NAMES}
    cohort = mdata.obs["cohort"].astype("category").cat.codes.to_numpy()
    is_target = (mdata.obs["cohort"] == target).to_numpy()
    label = np.where(is_target, -1, np.searchsorted(CLASSES, mdata.obs["label"].astype(str)))
    out = {}
    for name, values in {**x, "both": np.hstack(list(x.values()))}.items():
        data = TransferData(values, cohort, label, ~is_target, len(CLASSES))
        out[name] = lr_z(data, seed=seed)[is_target]
    return out


def log_cpm(counts: object) -> NDArray[np.float64]:
    """Logarithm of counts per million and one."""
    x = np.asarray(counts.toarray() if hasattr(counts, "toarray") else counts, dtype=np.float64)
    return np.log1p(x * (1e6 / x.sum(axis=1, keepdims=True)))


TRAININGS = {
    "lr_z": logistic,
    "members": members,
    "joint": joint,
    "rna": single("rna"),
    "mirna": single("mirna"),
    "mixture": mixture,
    "target_lacks_mirna": target_lacks("mirna"),
    "target_lacks_rna": target_lacks("rna"),
}
