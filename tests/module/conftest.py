"""What the module tests share: a fixed torch seed, small batches and small modules."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from scvi import REGISTRY_KEYS

from domainvi.module import EXTRA_DOMAINS_KEY, DomainVAE

N_GENES, N_CLASSES = 12, 3
Tensors = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def build() -> Callable[..., DomainVAE]:
    """A factory of small modules: 12 genes, two domains, three classes, no dropout."""

    def make(likelihood: str = "normal", adversary: str = "none", **kwargs: Any) -> DomainVAE:
        sizes: dict[str, Any] = {"n_latent": 4, "n_hidden": 8, "dropout_rate": 0.0}
        kwargs = {"n_domains": [2], "n_classes": N_CLASSES, **sizes, **kwargs}
        return DomainVAE(N_GENES, likelihood=likelihood, adversary=adversary, **kwargs)

    return make


@pytest.fixture
def batch() -> Callable[..., Tensors]:
    """A factory of minibatches; label 3 is the code of unlabelled rows."""

    def make(
        labels: tuple[int, ...] = (0, 1, 3, 3, 2, 3),
        domains: tuple[int, ...] = (0, 0, 0, 1, 1, 1),
        *,
        counts: bool = False,
        extra: list[list[int]] | None = None,
        categories: list[list[int]] | None = None,
        continuous: list[list[float]] | None = None,
    ) -> Tensors:
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(len(labels), N_GENES, generator=generator)
        tensors = {
            REGISTRY_KEYS.X_KEY: torch.poisson(x.exp(), generator) if counts else x,
            REGISTRY_KEYS.BATCH_KEY: torch.tensor(domains)[:, None],
            REGISTRY_KEYS.LABELS_KEY: torch.tensor(labels)[:, None],
        }
        for key, values in (
            (EXTRA_DOMAINS_KEY, extra),
            (REGISTRY_KEYS.CAT_COVS_KEY, categories),
            (REGISTRY_KEYS.CONT_COVS_KEY, continuous),
        ):
            if values is not None:
                tensors[key] = torch.tensor(values)
        return tensors

    return make
