"""What the training tests share: a fixed torch seed, small cohorts and quickly trained models."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from anndata import AnnData

import domainvi as dv

SMALL = {"n_latent": 6, "n_hidden": 16, "n_components": 10}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def cohorts() -> Callable[..., AnnData]:
    """A factory of synthetic cohorts, 120 rows of 60 genes and four classes by default."""

    def make(**kwargs: Any) -> AnnData:
        return dv.data.synthetic_cohorts(**{"n_obs": 120, "n_genes": 60, "seed": 1, **kwargs})

    return make


@pytest.fixture(scope="session")
def train() -> Callable[..., dv.DomainVI]:
    """A factory of small models, trained for two epochs on ``domain`` and ``label``."""

    def make(adata: AnnData, epochs: int = 2, **kwargs: Any) -> dv.DomainVI:
        fit = {k: kwargs.pop(k) for k in ("plan_kwargs", "train_size") if k in kwargs}
        setup = {k: kwargs.pop(k) for k in list(kwargs) if k.endswith(("_key", "_keys"))}
        dv.DomainVI.setup_anndata(adata, **{"batch_key": "domain", "labels_key": "label", **setup})
        model = dv.DomainVI(adata, **{**SMALL, **kwargs})
        model.train(max_epochs=epochs, batch_size=32, enable_progress_bar=False, **fit)
        return model

    return make
