"""Every method: labels shown in the pool in, classes of the test rows out."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

import domainvi as dv
from benchmarks.pretraining.tasks import UNLABELED, Task, draw, names, read, with_labels

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad
    from numpy.typing import NDArray

    Rows = NDArray[np.floating[Any]]

SCHEMES = ("none", "scarf", "vime", "byol")
METHODS = (
    "lr",
    "lr_pca",
    *(f"{mode}_{scheme}" for mode in ("probe", "network") for scheme in SCHEMES),
)
# The network alone: each cohort standardised by itself, no linear members, no adversary.
NETWORK = {"scaling": "domain", "adversary": "none"}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
RANK = 100


class Shown(NamedTuple):
    """What a method may use.

    Parameters
    ----------
    data
        Folder with the files.
    models
        Folder of the pretrained models; each is made once.
    task
        The task.
    shown
        Rows of the pool whose label is shown.
    seed
        Of the draw, and of the network.
    """

    data: Path
    models: Path
    task: Task
    shown: NDArray[np.int64]
    seed: int


def predict(method: str, unit: Shown) -> NDArray[np.str_]:
    """Predict the classes of the test rows."""
    pool, test = read(unit.data, unit.task.file)
    if method.startswith("network_"):
        return network(method.removeprefix("network_"), unit, pool, test)
    label = names(pool, unit.task.label_key)[unit.shown]
    train, held_out, strength = features(method, unit)
    model = LogisticRegression(C=strength, max_iter=1000, class_weight="balanced")
    return model.fit(train[unit.shown], label).predict(held_out)


def features(method: str, unit: Shown) -> tuple[Rows, Rows, float]:
    """Look up what a logistic regression reads, and the inverse of its penalty.

    Genes: the penalty of ``lr_z`` in the transfer benchmark. Components and latents, with variances
    of about one: 1.
    """
    key = (unit.data, unit.task.file, unit.task.domain_key)
    if method == "lr":
        return *standardised(*key), 0.01
    if method == "lr_pca":
        return *principal_components(*key), 1.0
    scheme = method.removeprefix("probe_")
    return *latents(unit.data, unit.models, unit.task, scheme), 1.0


@cache
def standardised(data: Path, file: str, domain_key: str) -> tuple[Rows, Rows]:
    """Log values, each cohort standardised by its rows of the pool."""
    pool, test = read(data, file)
    size = np.median(pool.X.sum(axis=1))
    u, v = (np.log1p(a.X / a.X.sum(axis=1, keepdims=True) * size) for a in (pool, test))
    own, new = names(pool, domain_key), names(test, domain_key)
    for d in np.unique(own):
        mean, scale = u[own == d].mean(axis=0), u[own == d].std(axis=0)
        scale[scale < 1e-3] = 1.0
        u[own == d] = (u[own == d] - mean) / scale
        v[new == d] = (v[new == d] - mean) / scale
    return u.clip(-8, 8), v.clip(-8, 8)


@cache
def principal_components(data: Path, file: str, domain_key: str) -> tuple[Rows, Rows]:
    """Components of the whole pool, in units of the first one's standard deviation."""
    pool, test = standardised(data, file, domain_key)
    pca = PCA(min(RANK, *pool.shape), random_state=0).fit(pool)
    unit = np.sqrt(pca.explained_variance_[0])
    return pca.transform(pool) / unit, pca.transform(test) / unit


@cache
def latents(data: Path, models: Path, task: Task, scheme: str) -> tuple[Rows, Rows]:
    """Frozen latents of pool and test rows."""
    pool, test = read(data, task.file)
    model = dv.DomainVI.load(pretrained(data, models, task, scheme))
    return (
        model.get_pretrained_representation(pool),
        model.get_pretrained_representation(test),
    )


def pretrained(data: Path, models: Path, task: Task, scheme: str) -> Path:
    """Pretrain on the pool of a file, unless that was done before; no label enters the encoder.

    ``"none"`` is the encoder as it is before the first step: at learning rate 0.
    """
    folder = models / f"{task.file}-{scheme}"
    if folder.exists():
        return folder
    pool, _ = read(data, task.file)
    # setup_anndata wants labels; with scaling="domain" the encoder does not see them.
    shown = draw(names(pool, task.label_key), 2, 0)
    model = set_up(with_labels(pool, task, shown), task)
    if scheme == "none":
        model.pretrain(max_epochs=1, plan_kwargs={"lr": 0.0}, **QUIET)
    else:
        model.pretrain(scheme, **QUIET)
    models.mkdir(parents=True, exist_ok=True)
    model.save(folder)
    return folder


def set_up(adata: ad.AnnData, task: Task, **kwargs: Any) -> dv.DomainVI:
    """Make the network alone."""
    dv.DomainVI.setup_anndata(
        adata, batch_key=task.domain_key, labels_key="target", unlabeled_category=UNLABELED
    )
    return dv.DomainVI(adata, **NETWORK, **kwargs)


def network(scheme: str, unit: Shown, pool: ad.AnnData, test: ad.AnnData) -> NDArray[np.str_]:
    """Train the network, from scratch or from a pretrained encoder."""
    source = None
    if scheme != "none":
        source = pretrained(unit.data, unit.models, unit.task, scheme)
    adata = with_labels(pool, unit.task, unit.shown)
    model = set_up(adata, unit.task, seed=unit.seed, pretrain_from=source)
    model.train(early_stopping=False, **QUIET)
    return np.asarray(model.predict(test)).astype(np.str_)
